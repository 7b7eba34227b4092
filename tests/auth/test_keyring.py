"""One answer for every wrong key, and the right one found wherever its dialect lets it stand."""

import contextlib
import hmac

import pytest

from gateway.auth.keyring import Keyring
from gateway.core.asgi import fields_of
from gateway.core.endpoint import Dialect
from gateway.core.errors import InvalidApiKeyError

NOW = 1000.0
KEYRING = Keyring(["sk-first", "sk-second"])


@pytest.mark.parametrize("key", [b"sk-first", b"sk-second"])
@pytest.mark.parametrize("scheme", [b"Bearer", b"bearer", b"BEARER"])
def test_each_key_in_force_is_admitted(key: bytes, scheme: bytes) -> None:
    KEYRING.admit({b"authorization": scheme + b" " + key}, Dialect.OPENAI, NOW)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"authorization", b"")],
        [(b"authorization", b"Bearer ")],
        [(b"authorization", b"Bearer sk-third")],
        [(b"authorization", b"Bearer sk-first ")],
        [(b"authorization", b"Bearer  sk-first")],
        [(b"authorization", b"Basic sk-first")],
        [(b"authorization", b"sk-first")],
        [(b"authorization", b"Bearer " + b"\xff\x00'\"" * 30_000)],
        [(b"authorization", b"Bearer wrong"), (b"authorization", b"Bearer sk-first")],
        [(b"x-api-key", b"sk-first")],
    ],
)
def test_every_wrong_key_gets_the_same_answer(headers: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(InvalidApiKeyError) as refusal:
        KEYRING.admit(fields_of(headers), Dialect.OPENAI, NOW)
    with pytest.raises(InvalidApiKeyError) as missing:
        KEYRING.admit({}, Dialect.OPENAI, NOW)
    assert refusal.value.message == missing.value.message
    assert refusal.value.code == missing.value.code


def test_a_refusal_names_every_field_that_the_path_takes_a_key_from() -> None:
    for dialect in Dialect:
        with pytest.raises(InvalidApiKeyError, match="Missing or incorrect API key") as refusal:
            KEYRING.admit({}, dialect, NOW)
        assert "`Authorization: Bearer <key>`" in refusal.value.message
        assert ("`x-api-key: <key>`" in refusal.value.message) == (dialect is Dialect.ANTHROPIC)


@pytest.mark.parametrize("key", [b"sk-first", b"sk-second", b"sk-third", b"sk-firsT", b""])
def test_a_key_is_compared_with_all_in_constant_time_whether_it_is_right_or_wrong(
    key: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[int] = []
    compare = hmac.compare_digest

    def counted(one: bytes, other: bytes) -> bool:
        compared.append(len(one))
        return compare(one, other)

    monkeypatch.setattr(hmac, "compare_digest", counted)
    for _ in range(3):  # a digest that is known is compared too
        with contextlib.suppress(InvalidApiKeyError):
            KEYRING.admit({b"authorization": b"Bearer " + key}, Dialect.OPENAI, NOW)
        assert compared == [32, 32]
        compared.clear()
    with pytest.raises(InvalidApiKeyError):
        KEYRING.admit({}, Dialect.OPENAI, NOW)
    assert compared == []


def test_x_api_key_counts_on_anthropic_paths_only() -> None:
    fields = {b"x-api-key": b"sk-first"}
    KEYRING.admit(fields, Dialect.ANTHROPIC, NOW)
    for dialect in (Dialect.OPENAI, Dialect.RESPONSES):
        with pytest.raises(InvalidApiKeyError):
            KEYRING.admit(fields, dialect, NOW)


def test_a_valid_x_api_key_opens_beside_a_foreign_bearer() -> None:
    KEYRING.admit({b"authorization": b"Bearer other", b"x-api-key": b"sk-second"}, Dialect.ANTHROPIC, NOW)


def test_what_is_kept_of_fields_are_the_digests_of_keys_in_force() -> None:
    keyring = Keyring(["sk-first", "sk-second"])
    for number in range(1000):
        with pytest.raises(InvalidApiKeyError):
            keyring.admit({b"authorization": b"Bearer %d" % number}, Dialect.OPENAI, NOW)
        keyring.admit({b"authorization": b"Bearer %d" % number, b"x-api-key": b"sk-first"}, Dialect.ANTHROPIC, NOW)
    assert keyring._usual == {}
    for _ in range(2):
        keyring.admit({b"authorization": b"bearer sk-second"}, Dialect.OPENAI, NOW)
        keyring.admit({b"authorization": b"Bearer sk-second"}, Dialect.OPENAI, NOW)
    assert list(keyring._usual) == [b"bearer sk-second", b"Bearer sk-second"]
