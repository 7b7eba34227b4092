"""Can a client say who it is? Whatever it writes, the nearest address that is no proxy of ours is the one."""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

from hypothesis import given
from hypothesis import strategies as st

from gateway.auth.address import MAX_HOPS, AddressBook
from gateway.core.asgi import Fields
from tests.fuzz.damage import LINE_BYTES, damaged
from tests.fuzz.effort import examples

TRUSTED = ["127.0.0.0/8", "10.9.0.0/24", "fd00::/64"]
NETWORKS = [ip_network(network) for network in TRUSTED]
XFF, REAL = b"x-forwarded-for", b"x-real-ip"
WORDS = [*LINE_BYTES, *(b",", b", ", b".", b"::", b"[", b"]", b"%eth0", b"/64", b"::ffff:", b"127.0.0.1", b"unknown")]


def is_ours(text: str) -> bool:
    address = ip_address(text)
    return any(address.version == network.version and address in network for network in NETWORKS)


public_v4 = st.integers(0x01000000, 0xDFFFFFFF).map(lambda number: str(IPv4Address(number)))
public_v6 = st.integers(0x2001 << 112, (0x2002 << 112) - 1).map(lambda number: str(IPv6Address(number)))
strangers = (public_v4 | public_v6).filter(lambda text: not is_ours(text))
proxies = st.sampled_from(["127.0.0.1", "127.8.8.8", "10.9.0.3", "fd00::7", "::ffff:10.9.0.9"])
spaces = st.sampled_from(["", " ", "  "])


def ways_to_write(address: str) -> st.SearchStrategy[str]:
    """As proxies do: with a port, in brackets, among blanks."""
    ways = ["{}", "{}:80", "{}:51234"] if ":" not in address else ["{}", "[{}]", "[{}]:80"]
    return st.builds("{}{}{}".format, spaces, st.sampled_from([way.format(address) for way in ways]), spaces)


HOPS = damaged(
    st.lists((strangers | proxies).flatmap(ways_to_write) | st.just(" "), max_size=5).map(
        lambda hops: ",".join(hops).encode()
    ),
    WORDS,
)
LATER = st.lists(proxies.flatmap(ways_to_write) | spaces, max_size=4).map(
    lambda hops: "".join(f",{hop}" for hop in hops)
)


@st.composite
def visits(draw: st.DrawFn) -> list[tuple[str, bytes | None, bytes | None]]:
    """Who comes and what they write, of which much comes again in other company."""
    written = [None, *draw(st.lists(HOPS | st.binary(max_size=40), min_size=1, max_size=2)), b"6.6.6.6"]
    peers = st.sampled_from([draw(proxies), draw(proxies), draw(strangers)])
    return draw(st.lists(st.tuples(peers, st.sampled_from(written), st.sampled_from(written)), min_size=2, max_size=5))


VISITS = visits()


def organization(client: str) -> str:
    address = ip_address(client)
    return f"ip:{IPv6Network((int(address), 64), strict=False)}" if isinstance(address, IPv6Address) else f"ip:{client}"


def fields(forwarded: bytes | None, real: bytes | None) -> Fields:
    return {name: value for name, value in ((XFF, forwarded), (REAL, real)) if value is not None}


@examples(100)
@given(strangers, st.none() | HOPS, st.none() | HOPS)
def test_what_a_stranger_writes_changes_nothing(peer: str, forwarded: bytes | None, real: bytes | None) -> None:
    book = AddressBook(TRUSTED)
    for _ in range(2):
        assert book.caller_of(peer, fields(forwarded, real)) == (peer, organization(peer))


@examples(150)
@given(proxies, HOPS | st.binary(max_size=40), strangers, LATER, st.data())
def test_whatever_stands_before_the_nearest_stranger_the_stranger_it_is(
    peer: str, written: bytes, stranger: str, later: str, source: st.DataObject
) -> None:
    book = AddressBook(TRUSTED)
    seen = (source.draw(ways_to_write(stranger)) + later).encode()
    for before in (written + b",", b"", written + b", 6.6.6.6,"):
        assert book.caller_of(peer, fields(before + seen, b"6.6.6.6")) == (stranger, organization(stranger))


@examples(150)
@given(VISITS)
def test_any_header_names_a_real_address_and_the_same_one_whoever_came_before(
    visits: list[tuple[str, bytes | None, bytes | None]],
) -> None:
    book = AddressBook(TRUSTED)
    for peer, forwarded, real in visits:
        client, group = book.caller_of(peer, fields(forwarded, real))
        assert (client, group) == AddressBook(TRUSTED).caller_of(peer, fields(forwarded, real))
        assert str(ip_address(client)) == client
        assert group == organization(client)


@examples(60)
@given(proxies, st.lists(proxies, min_size=MAX_HOPS, max_size=3 * MAX_HOPS), strangers)
def test_behind_more_proxies_than_there_can_be_nobody_is_sought(peer: str, hops: list[str], stranger: str) -> None:
    client, _ = AddressBook(TRUSTED).caller_of(peer, {XFF: ", ".join([stranger, *hops]).encode()})
    assert is_ours(client)
