"""The hash differs with each setting that is not secret, and with nothing else."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from gateway.core.carried import carried
from gateway.core.model_card import ModelCard
from gateway.observability.fingerprint import fingerprint
from gateway.settings import load

PLAIN = {
    "gateway_api_key": "sk-0123456789abcdef",
    "backend_api_key": "INTERNAL-0123456789",
    "chat_backends": "http://chat0:8000",
}


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def of(**options: object) -> str:
    return fingerprint(load(None, **{**PLAIN, **options}))


def test_equal_settings_have_one_hash_of_twelve_digits() -> None:
    assert of() == of()
    assert len(of()) == 12
    assert set(of()) <= set("0123456789abcdef")


def test_another_value_is_another_hash() -> None:
    assert (
        len({of(), of(queue_timeout_secs=3), of(data_path="/srv/gateway"), of(chat_backends="http://chat1:8000")}) == 4
    )


def test_a_secret_does_not_show_in_it() -> None:
    others = {
        "gateway_api_key": "sk-fedcba9876543210",
        "backend_api_key": "INTERNAL-9876543210",
        "redis_url": "unix:///s",
    }
    assert of(**others) == of()


def test_what_a_worker_is_handed_has_the_same_hash() -> None:
    settings = load(None, **PLAIN)
    assert fingerprint(vars(carried(settings)).items()) == fingerprint(settings)


def test_order_is_no_difference_and_neither_are_secrets_in_lists() -> None:
    one = [("b", {"x": 1, "y": Path("p")}), ("a", (ModelCard(name="m"),)), ("s", [SecretStr("1")])]
    other = [("s", [SecretStr("2")]), ("a", (ModelCard(name="m"),)), ("b", {"y": Path("p"), "x": 1})]
    assert fingerprint(one) == fingerprint(other) != fingerprint(one[:1])
