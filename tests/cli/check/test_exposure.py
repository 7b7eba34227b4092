"""Tests of what `gateway check` says of secrets that can be guessed, or read on their way."""

from typing import Any

import pytest

from gateway.cli.check.exposure import SAFE_LENGTH, exposures
from gateway.settings import load

LONG = "k1j2h3g4f5d6s7a8q9w0" * 2
FLEET: dict[str, Any] = {
    "gateway_api_key": [LONG],
    "backend_api_key": LONG,
    "key_hash_secret": LONG,
    "chat_backends": ("http://a:1",),
}


def said(**others: Any) -> str:
    return "\n".join(exposures(load(None, **{**FLEET, **others})))


def test_a_usual_configuration_shows_nothing() -> None:
    assert said() == ""
    assert said(admin_api_key=["an-admins-" + LONG], gateway_url="http://127.0.0.1:9000") == ""


def test_a_short_key_is_spoken_of_beside_a_long_one_and_not_shown() -> None:
    short = LONG[: SAFE_LENGTH - 1]
    assert said(gateway_api_key=[LONG, short]).startswith("GATEWAY_API_KEY holds a key of under 20 characters")
    assert short not in said(gateway_api_key=[short])
    assert said(gateway_api_key=[LONG[:SAFE_LENGTH]]) == ""


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("redis_url", "redis://:pa55word@10.0.0.5:6379/0"),
        ("redis_url", "redis://:pa55word@valkey:6379/0"),
        ("database_url", "postgresql://gateway:pa55word@10.0.0.4:5432/gateway"),
        ("database_url", "postgresql://gateway:pa55word@db/gateway?sslmode=prefer"),
        ("gateway_url", "http://10.0.0.6:9000"),
    ],
)
def test_what_leaves_the_host_in_clear_is_spoken_of_and_not_shown(name: str, url: str) -> None:
    words = said(**{name: url}, admin_api_key=["an-admins-" + LONG])
    assert words.startswith(f"{name.upper()} ")
    assert "in clear" in words
    assert "pa55word" not in words


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("redis_url", "rediss://:pa55word@10.0.0.5:6379/0"),
        ("redis_url", "redis://:pa55word@127.0.0.1:6379/0"),
        ("redis_url", "unix:///run/valkey.sock"),
        ("database_url", "postgresql://gateway:pa55word@db/gateway?sslmode=verify-full"),
        ("database_url", "postgresql://gateway:pa55word@localhost/gateway"),
        ("database_url", "sqlite:////srv/gateway.db"),
        ("gateway_url", "https://llm.example.org"),
        ("gateway_url", "http://[::1]:9000"),
    ],
)
def test_what_is_encrypted_or_stays_here_is_not(name: str, url: str) -> None:
    assert said(**{name: url}, admin_api_key=["an-admins-" + LONG]) == ""


def test_without_admin_keys_commands_have_none_to_send() -> None:
    assert said(gateway_url="http://10.0.0.6:9000") == ""
