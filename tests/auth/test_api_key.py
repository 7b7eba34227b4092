"""A key says of itself whether it can be one, and nothing that is kept of it says which one it was."""

import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.auth.api_key import ALPHABET, digest, is_well_formed, mint, prefix_of

KNOWN = b"gw-0123456789ABCDEFGHIJKLMNOPQRSTUV3ztFRp"
"""Its check characters are gzip's CRC-32 of what stands before them, 3662922417, in base62."""
SECRET = b"k" * 32


def test_a_new_key_has_the_form_that_scanners_look_for() -> None:
    for _ in range(100):
        key = mint()
        assert re.fullmatch(r"gw-[0-9A-Za-z]{38}", key)
        assert is_well_formed(key.encode())


def test_no_two_keys_are_alike() -> None:
    assert len({mint() for _ in range(1000)}) == 1000


def test_a_known_key_is_one() -> None:
    assert is_well_formed(KNOWN)


@given(st.integers(0, len(KNOWN) - 1), st.integers(0, 255))
def test_a_key_with_one_other_byte_is_none(place: int, byte: int) -> None:
    other = KNOWN[:place] + bytes((byte,)) + KNOWN[place + 1 :]
    assert is_well_formed(other) is (other == KNOWN)


@given(st.binary(max_size=100) | st.text(ALPHABET, max_size=60).map(str.encode))
def test_nothing_by_chance_is_a_key(text: bytes) -> None:
    for shown in (text, b"gw-" + text, KNOWN + text[:1] * 2, text[:1] + KNOWN, KNOWN[:-1] + text):
        assert is_well_formed(shown) is (shown == KNOWN)


@pytest.mark.parametrize(
    "text",
    [b"", b"gw-", KNOWN[:-1], KNOWN + b"\n", KNOWN + b"\0", KNOWN.lower(), b"gw-" + b"\xff" * 38, KNOWN * 2500],
    ids=["nothing", "beginning", "short", "newline", "nul", "lower", "latin", "100 KB"],
)
def test_what_is_nearly_a_key_is_none(text: bytes) -> None:
    assert not is_well_formed(text)


def test_the_prefix_leaves_most_of_the_key_unsaid() -> None:
    assert prefix_of(KNOWN.decode()) == "gw-01234567"


def test_a_digest_is_the_one_that_openssl_computes() -> None:
    # openssl mac -macopt hexkey:6b6b...6b -macopt size:32 -in key BLAKE2BMAC
    expected = "9a2d6cd7a273f4d5b2a764f8ffbb81278b9bf8e596c727f74ef653ad0dfc52de"
    assert digest(KNOWN, SECRET).hex() == expected


@given(st.binary(max_size=200), st.binary(max_size=200), st.binary(min_size=32, max_size=64))
def test_digests_differ_with_the_key_and_with_the_secret(one: bytes, other: bytes, secret: bytes) -> None:
    assert (digest(one, secret) == digest(other, secret)) is (one == other)
    assert (digest(one, secret) == digest(one, SECRET)) is (secret == SECRET)
    assert digest(one, secret) != hashlib.blake2b(one, digest_size=32).digest()


@pytest.mark.parametrize("secret", [b"", b"s" * 65])
def test_a_secret_that_is_none_hashes_nothing(secret: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        digest(KNOWN, secret)
