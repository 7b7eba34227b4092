"""REDIS_URL in all its forms, and its password nowhere."""

import pytest
from pydantic import ValidationError

from gateway.store.settings import StoreSettings
from gateway.store.valkey.address import Address, parse


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://cache", Address(host="cache")),
        ("valkey://cache:7000/3", Address(host="cache", port=7000, database=3)),
        ("rediss://me:p%40ss@[::1]:7000", Address(host="::1", port=7000, tls=True, user="me", password="p@ss")),
        ("redis://:secret@cache", Address(host="cache", password="secret")),
        ("unix:///run/valkey.sock?db=2", Address(path="/run/valkey.sock", database=2)),
    ],
)
def test_a_url_says_where_the_server_is(url: str, address: Address) -> None:
    assert parse(url) == address


@pytest.mark.parametrize(
    "url",
    ["http://:secret@cache", "redis://:secret@cache:99999", "unix://", "redis://:secret@cache/nine", "cache:6379"],
)
def test_a_url_that_is_none_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ValidationError) as refused:
        StoreSettings.model_validate({"redis_url": url})
    (error,) = refused.value.errors()
    assert "REDIS_URL" in error["msg"]
    assert "secret" not in error["msg"]  # the input beside it is left out where settings are said to be wrong


def test_a_password_is_shown_nowhere() -> None:
    settings = StoreSettings.model_validate({"redis_url": "redis://me:secret@cache"})
    address = parse(settings.redis_url.get_secret_value())
    assert "secret" not in f"{settings!r} {settings} {address!r} {address}"
