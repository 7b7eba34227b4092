"""What of the settings a reload may not change."""

from pathlib import Path

import pytest

from gateway.cli.supervise import fixed
from gateway.settings import Settings, load


def given(**fields: object) -> Settings:
    required = {"gateway_api_key": "sk-of-a-test", "backend_api_key": "key-of-a-test"}
    return load(None, **{**required, "chat_backends": "http://127.0.0.1:9", "gateway_workers": 1, **fields})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("gateway_host", "127.0.0.2"),
        ("gateway_port", 9001),
        ("metrics_host", "127.0.0.2"),
        ("metrics_port", 9101),
        ("limiter_store", "memory"),
        ("limiter_path", Path("/elsewhere")),
        ("max_tracked_organizations", 777),
    ],
)
def test_what_old_and_new_workers_share_cannot_change(name: str, value: object) -> None:
    (sentence,) = fixed(given(), given(**{name: value}))
    assert sentence.startswith(f"{name.upper()} cannot change while the gateway runs (it is ")
    assert f"would be {value}): restart it" in sentence


def test_all_else_may_change() -> None:
    assert fixed(given(), given(gateway_workers=3, drain_secs=1)) == []
