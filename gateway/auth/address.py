"""From where does it come? The client's address as the trusted proxy saw it, and the organization it stands for."""

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeVar

from gateway.core.asgi import Fields

IPV6_PREFIX = 64
"""One subscriber holds a /64: counting single IPv6 addresses would count nobody."""
MAX_REMEMBERED = 8192
"""Results kept in a worker, of each kind: parsing an address costs 3 us, a dict lookup 0.1."""

MAX_REMEMBERED_BYTES = 256
"""A longer header is parsed each time: as a key it would make the memory as large as its sender likes."""
MAX_HOPS = 16
"""More proxies than this in a row are not ours; 6,400 in one header cost 60 ms."""

_WITH_PORT = re.compile(r"(\d+(?:\.\d+){3}):\d{1,5}|\[([^\]%]+)\](?::\d{1,5})?")
"""An address as some proxies forward it (Azure's, HAProxy's): with its port, an IPv6 one in brackets."""

Address = IPv4Address | IPv6Address
Caller = tuple[str, str]
"""A client's address, and its organization: `ip:` and the address, an IPv6 one cut to its /64."""
Key = TypeVar("Key")
Value = TypeVar("Value")


class AddressBook:
    """Tells who a request comes from; trusts forwarded headers only from the configured proxies."""

    def __init__(self, trusted_proxies: Iterable[str]) -> None:
        self._networks = [ip_network(network) for network in trusted_proxies]
        self._peers: dict[str, tuple[Caller, bool]] = {}
        self._callers: dict[tuple[str, bytes | None, bytes | None], Caller] = {}

    def caller_of(self, peer: str, fields: Fields) -> Caller:
        """The client's address in its canonical form, and its organization.

        A trusted peer's X-Forwarded-For is read from the right, over the proxies that we trust, to the first
        address that we do not, with its port or without; empty parts are skipped (RFC 9110, 5.6.1.2).
        Without that header its X-Real-IP counts. What cannot be parsed is not believed, nor is anything left of it.
        """
        known = self._peers.get(peer)
        nearest, trusted = known if known is not None else self._meet(peer)
        if not trusted:
            return nearest
        forwarded, real = fields.get(b"x-forwarded-for"), fields.get(b"x-real-ip")
        if forwarded is None and real is None:
            return nearest
        if len(forwarded or b"") + len(real or b"") > MAX_REMEMBERED_BYTES:
            return _caller(self._believe(nearest[0], forwarded, real))
        key = (peer, forwarded, real)
        caller = self._callers.get(key)
        if caller is None:
            caller = _remember(self._callers, key, _caller(self._believe(nearest[0], forwarded, real)))
        return caller

    def _meet(self, peer: str) -> tuple[Caller, bool]:
        """Who a peer is by itself, and whether it may speak for others."""
        address = _parse(peer)
        met = (_caller(peer), False) if address is None else (_caller(str(address)), self._trusted(address))
        return _remember(self._peers, peer, met)

    def _believe(self, peer: str, forwarded: bytes | None, real: bytes | None) -> str:
        if forwarded is None:
            address = _parse_hop((real or b"").decode("latin-1"))
            return peer if address is None else str(address)
        nearest = peer
        for hop in reversed(forwarded.decode("latin-1").rsplit(",", MAX_HOPS)[-MAX_HOPS:]):
            if not hop.strip():
                continue
            address = _parse_hop(hop)
            if address is None:
                break
            nearest = str(address)
            if not self._trusted(address):
                break
        return nearest

    def _trusted(self, address: Address) -> bool:
        return any(address.version == network.version and address in network for network in self._networks)


def _remember(known: dict[Key, Value], key: Key, value: Value) -> Value:
    """Keep a result, in a bounded memory: strangers choose the keys."""
    if len(known) >= MAX_REMEMBERED:
        known.clear()
    known[key] = value
    return value


def _parse(text: str) -> Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        # A socket on [::] shows IPv4 clients as ::ffff:1.2.3.4; a zone id only means something on this host.
        return address.ipv4_mapped or IPv6Address(int(address))
    return address


def _parse_hop(text: str) -> Address | None:
    """An address as a proxy forwards it, perhaps with a port."""
    text = text.strip()
    with_port = _WITH_PORT.fullmatch(text)
    return _parse(text if with_port is None else with_port[1] or with_port[2])


def _caller(client: str) -> Caller:
    """Who has that canonical address."""
    address = _parse(client)
    if isinstance(address, IPv6Address):
        return client, f"ip:{IPv6Network((int(address), IPV6_PREFIX), strict=False)}"
    return client, f"ip:{client}"
