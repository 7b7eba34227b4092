"""Nobody becomes somebody else by writing a header."""

import pytest

from gateway.auth.address import MAX_REMEMBERED, AddressBook
from gateway.core.asgi import fields_of

BOOK = AddressBook(["127.0.0.0/8", "10.9.0.0/24", "fd00::/64"])
XFF, REAL = b"x-forwarded-for", b"x-real-ip"


@pytest.mark.parametrize(
    ("peer", "headers", "client"),
    [
        ("203.0.113.7", [], "203.0.113.7"),
        ("203.0.113.7", [(XFF, b"1.1.1.1"), (REAL, b"1.1.1.1")], "203.0.113.7"),
        ("127.0.0.1", [(XFF, b"198.51.100.4")], "198.51.100.4"),
        ("127.0.0.1", [(XFF, b"6.6.6.6, 198.51.100.4")], "198.51.100.4"),
        ("127.0.0.1", [(XFF, b"6.6.6.6, 198.51.100.4, 10.9.0.3")], "198.51.100.4"),
        ("127.0.0.1", [(XFF, b"6.6.6.6"), (XFF, b"198.51.100.4")], "198.51.100.4"),
        ("127.0.0.1", [(XFF, b"6.6.6.6, nonsense")], "127.0.0.1"),
        ("127.0.0.1", [(XFF, b"")], "127.0.0.1"),
        ("127.0.0.1", [(XFF, b" , ")], "127.0.0.1"),
        ("127.0.0.1", [(XFF, b"6.6.6.6, 198.51.100.4,")], "198.51.100.4"),
        ("127.0.0.1", [(XFF, b"198.51.100.4, ,10.9.0.3 , ")], "198.51.100.4"),
        ("127.0.0.1", [(XFF, b"6.6.6.6, 198.51.100.4:51234")], "198.51.100.4"),
        ("127.0.0.1", [(XFF, b"198.51.100.4:51234, 10.9.0.3:80")], "198.51.100.4"),
        ("127.0.0.1", [(XFF, b"6.6.6.6, [2001:db8:1:2::9]:51234")], "2001:db8:1:2::9"),
        ("127.0.0.1", [(XFF, b"[2001:db8:1:2::9]")], "2001:db8:1:2::9"),
        ("127.0.0.1", [(XFF, b"[::ffff:198.51.100.4]:443")], "198.51.100.4"),
        ("127.0.0.1", [(REAL, b"198.51.100.4:51234")], "198.51.100.4"),
        ("127.0.0.1", [(XFF, b"6.6.6.6, 198.51.100.4:")], "127.0.0.1"),
        ("127.0.0.1", [(XFF, b"6.6.6.6, 198.51.100.4:x")], "127.0.0.1"),
        ("127.0.0.1", [(XFF, b"6.6.6.6, [198.51.100.4")], "127.0.0.1"),
        ("127.0.0.1", [(XFF, b"6.6.6.6, [2001:db8::9]x")], "127.0.0.1"),
        ("127.0.0.1", [(XFF, b"6.6.6.6, [nonsense]:1")], "127.0.0.1"),
        ("127.0.0.1", [(XFF, b"10.9.0.8")], "10.9.0.8"),
        ("127.0.0.1", [(REAL, b"198.51.100.4")], "198.51.100.4"),
        ("127.0.0.1", [(REAL, b"not an address")], "127.0.0.1"),
        ("127.0.0.1", [(XFF, b"198.51.100.4"), (REAL, b"6.6.6.6")], "198.51.100.4"),
        ("::ffff:203.0.113.7", [], "203.0.113.7"),
        ("::ffff:127.0.0.1", [(XFF, b"198.51.100.4")], "198.51.100.4"),
        ("fd00::3", [(XFF, b"2001:db8:1:2:3:4:5:6")], "2001:db8:1:2:3:4:5:6"),
        ("fe80::1%eth0", [], "fe80::1"),
        ("unix:", [(XFF, b"1.1.1.1")], "unix:"),
    ],
)
def test_the_client_is_who_the_trusted_proxy_saw(peer: str, headers: list[tuple[bytes, bytes]], client: str) -> None:
    assert BOOK.caller_of(peer, fields_of(headers))[0] == client


@pytest.mark.parametrize(
    ("client", "organization"),
    [
        ("203.0.113.7", "ip:203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "ip:2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "ip:2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "ip:2001:db8:1:3::/64"),
    ],
)
def test_an_organization_is_an_address_or_an_ipv6_subscriber(client: str, organization: str) -> None:
    assert BOOK.caller_of(client, {}) == (client, organization)
    assert BOOK.caller_of("127.0.0.1", {REAL: client.encode()}) == (client, organization)


def test_a_header_of_many_hops_is_read_from_its_end_alone() -> None:
    hops = b", ".join([b"6.6.6.6"] + [b"10.9.0.3"] * 10_000)
    assert BOOK.caller_of("127.0.0.1", {XFF: hops})[0] == "10.9.0.3"


def test_a_long_header_is_not_remembered() -> None:
    book = AddressBook(["127.0.0.0/8"])
    caller = book.caller_of("127.0.0.1", {XFF: b"x" * 60_000 + b", 198.51.100.4"})
    assert caller == ("198.51.100.4", "ip:198.51.100.4")
    assert book._callers == {}


def test_made_up_addresses_do_not_fill_memory() -> None:
    book = AddressBook(["127.0.0.0/8"])
    for number in range(3 * MAX_REMEMBERED):
        client, _ = book.caller_of("127.0.0.1", {REAL: b"10.%d.%d.1" % divmod(number, 256)})
        book.caller_of(client, {})
    assert len(book._callers) <= MAX_REMEMBERED
    assert len(book._peers) <= MAX_REMEMBERED
