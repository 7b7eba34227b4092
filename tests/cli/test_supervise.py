"""What of the settings a reload may not change."""

from pathlib import Path

import pytest

from gateway.cli.supervise import fixed
from gateway.settings import Settings, load

SECRET, OTHER = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"


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


def test_an_address_that_may_hold_a_password_is_not_shown() -> None:
    (sentence,) = fixed(given(), given(redis_url="redis://:hidden@valkey:6379/0"))
    assert sentence == "REDIS_URL cannot change while the gateway runs: restart it"


@pytest.mark.parametrize("now", ["", OTHER], ids=["gone", "another"])
def test_the_secret_that_keys_are_hashed_with_stays(now: str) -> None:
    (sentence,) = fixed(given(key_hash_secret=SECRET), given(key_hash_secret=now))
    assert sentence.startswith("KEY_HASH_SECRET, or its file in DATA_PATH, cannot change while the gateway runs")
    assert not [secret for secret in (SECRET, OTHER) if secret in sentence]


def test_a_secret_that_could_not_be_had_at_the_start_may_be_there_now() -> None:
    assert fixed(given(), given(key_hash_secret=SECRET)) == []


def test_all_else_may_change() -> None:
    assert fixed(given(), given(gateway_workers=3, drain_secs=1)) == []
