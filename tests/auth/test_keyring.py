"""One answer for every wrong key, and the right one found wherever its dialect lets it stand."""

import contextlib
import hmac

import pytest

from gateway.auth.api_key import mint
from gateway.auth.key_directory import KeyDirectory, KeysUnavailableError
from gateway.auth.keyring import Keyring
from gateway.core.asgi import fields_of
from gateway.core.endpoint import Dialect
from gateway.core.errors import InvalidApiKeyError
from gateway.core.principal import MASTER, Principal
from tests.auth.catalog_by_hand import ACME, KEY, SECRET, CatalogByHand
from tests.core.hand_time import HandTime

NOW = 1000.0
KEYRING = Keyring(["sk-first", "sk-second"])


@pytest.mark.parametrize("key", [b"sk-first", b"sk-second"])
@pytest.mark.parametrize("scheme", [b"Bearer", b"bearer", b"BEARER"])
def test_each_key_in_force_is_admitted(key: bytes, scheme: bytes) -> None:
    assert KEYRING.admit({b"authorization": scheme + b" " + key}, Dialect.OPENAI, NOW) is MASTER


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
    fields = {b"authorization": b"Bearer other", b"x-api-key": b"sk-second"}
    assert KEYRING.admit(fields, Dialect.ANTHROPIC, NOW) is MASTER


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


class TenantRing(Keyring):
    """A keyring with one of the gateway's own keys, beside a catalog in memory."""

    def __init__(self) -> None:
        self.catalog = CatalogByHand()
        super().__init__(["sk-first"], KeyDirectory(self.catalog, SECRET, HandTime()))


BEARING_KEY = {b"authorization": b"Bearer " + KEY}


@pytest.mark.parametrize("scheme", [b"Bearer", b"bearer", b"BEARER"])
@pytest.mark.parametrize("dialect", Dialect)
def test_an_api_key_is_admitted_with_what_it_allows(scheme: bytes, dialect: Dialect) -> None:
    ring = TenantRing()
    ring.catalog.add(KEY)
    for _ in range(2):
        assert ring.admit({b"authorization": scheme + b" " + KEY}, dialect, NOW) is ACME
    assert ring.catalog.look_ups == 1
    assert ring.admit({b"authorization": b"Bearer sk-first"}, dialect, NOW) is MASTER


def test_one_of_the_gateways_own_keys_is_never_looked_up() -> None:
    ring = TenantRing()
    ring.catalog.broken = True
    for _ in range(2):
        assert ring.admit({b"authorization": b"Bearer sk-first"}, Dialect.OPENAI, NOW) is MASTER
        assert ring.admit({b"x-api-key": b"sk-first"}, Dialect.ANTHROPIC, NOW) is MASTER
        assert ring.admit({**BEARING_KEY, b"x-api-key": b"sk-first"}, Dialect.ANTHROPIC, NOW) is MASTER
    assert ring.catalog.look_ups == 0


def test_an_api_key_as_x_api_key_counts_on_anthropic_paths_only() -> None:
    ring = TenantRing()
    ring.catalog.add(KEY)
    for fields in ({b"x-api-key": KEY}, {b"x-api-key": KEY, b"authorization": b"Bearer other"}):
        assert ring.admit(fields, Dialect.ANTHROPIC, NOW) is ACME
        for dialect in (Dialect.OPENAI, Dialect.RESPONSES):
            with pytest.raises(InvalidApiKeyError):
                ring.admit(fields, dialect, NOW)


@pytest.mark.parametrize(
    "shown", [KEY, b"Basic " + KEY, b"Bearer  " + KEY, b"x-api-key " + KEY, b"Bearer " + KEY + b" "]
)
def test_what_was_learnt_in_one_place_opens_no_other(shown: bytes) -> None:
    ring = TenantRing()
    ring.catalog.add(KEY)
    ring.admit({b"x-api-key": KEY}, Dialect.ANTHROPIC, NOW)
    ring.admit(BEARING_KEY, Dialect.OPENAI, NOW)
    for dialect in Dialect:
        with pytest.raises(InvalidApiKeyError):
            ring.admit({b"authorization": shown}, dialect, NOW)


def test_where_both_fields_are_keys_the_bearer_counts() -> None:
    ring = TenantRing()
    other = mint().encode()
    ring.catalog.add(KEY)
    ring.catalog.add(other, Principal("org:other"))
    assert ring.admit({b"x-api-key": other, **BEARING_KEY}, Dialect.ANTHROPIC, NOW) is ACME
    ring.catalog.revoke(KEY)
    assert ring.admit({b"x-api-key": other, **BEARING_KEY}, Dialect.ANTHROPIC, NOW).organization == "org:other"


def test_doubt_about_one_field_counts_only_where_the_other_is_no_key() -> None:
    ring = TenantRing()
    ring.catalog.add(KEY)
    ring.catalog.fresh = False
    unknown = b"Bearer " + mint().encode()
    assert ring.admit({b"authorization": unknown, b"x-api-key": KEY}, Dialect.ANTHROPIC, NOW) is ACME
    with pytest.raises(KeysUnavailableError):
        ring.admit({b"authorization": unknown, b"x-api-key": b"wrong"}, Dialect.ANTHROPIC, NOW)
    with pytest.raises(KeysUnavailableError):
        ring.admit({b"authorization": unknown}, Dialect.OPENAI, NOW)
    with pytest.raises(InvalidApiKeyError):
        ring.admit({b"authorization": unknown[:-1]}, Dialect.OPENAI, NOW)


def test_unknown_revoked_expired_and_malformed_keys_get_one_answer() -> None:
    ring = TenantRing()
    expired, revoked = mint().encode(), mint().encode()
    ring.catalog.add(expired, expires=1.0)
    ring.catalog.add(revoked)
    ring.admit({b"authorization": b"Bearer " + revoked}, Dialect.OPENAI, NOW)
    ring.catalog.revoke(revoked)
    said = set()
    odd = (b"", b"\0", b"'; --", b"\xff" * 41, b"gw-" * 34_000)
    for key in (mint().encode(), expired, revoked, KEY[:-1] + b"!", *odd):
        with pytest.raises(InvalidApiKeyError) as refusal:
            ring.admit({b"authorization": b"Bearer " + key}, Dialect.OPENAI, NOW)
        said.add((refusal.value.message, refusal.value.code, refusal.value.should_retry))
    assert len(said) == 1
    assert ring.catalog.look_ups == 4  # the revoked one while it was valid, and each well-formed one once


def test_without_a_control_process_an_api_key_is_a_wrong_key() -> None:
    with pytest.raises(InvalidApiKeyError):
        KEYRING.admit(BEARING_KEY, Dialect.OPENAI, NOW)
