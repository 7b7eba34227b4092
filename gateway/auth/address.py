"""From where does it come? The client's address as the trusted proxy saw it, and the organization it stands for."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

from gateway.core.asgi import Headers

IPV6_PREFIX = 64
"""One subscriber holds a /64: counting single IPv6 addresses would count nobody."""
MAX_REMEMBERED = 8192
"""Parsed addresses kept in a worker: parsing costs 3 us, a dict lookup 0.1."""

Address = IPv4Address | IPv6Address


class AddressBook:
    """Tells who a request comes from; trusts forwarded headers only from the configured proxies."""

    def __init__(self, trusted_proxies: Iterable[str]) -> None:
        self._networks = [ip_network(network) for network in trusted_proxies]
        self._parsed: dict[str, Address | None] = {}
        self._organizations: dict[str, str] = {}

    def client_of(self, peer: str, headers: Headers) -> str:
        """The client's address in its canonical form.

        A trusted peer's X-Forwarded-For is read from the right, over the proxies that we trust, to the first
        address that we do not; without that header its X-Real-IP counts. What cannot be parsed is not believed.
        """
        socket_address = self._parse(peer)
        if socket_address is None:
            return peer
        if not self._trusted(socket_address):
            return str(socket_address)
        forwarded = [value for name, value in headers if name == b"x-forwarded-for"]
        if forwarded:
            return self._rightmost_stranger(b",".join(forwarded), socket_address)
        real = next((value for name, value in headers if name == b"x-real-ip"), None)
        address = self._parse(real.decode("latin-1").strip()) if real is not None else None
        return str(address or socket_address)

    def organization_of(self, client: str) -> str:
        """`ip:` and the address, an IPv6 one cut to its /64."""
        known = self._organizations.get(client)
        if known is None:
            if len(self._organizations) >= MAX_REMEMBERED:
                self._organizations.clear()
            known = self._organizations[client] = f"ip:{_network_of(self._parse(client), client)}"
        return known

    def _rightmost_stranger(self, forwarded: bytes, peer: Address) -> str:
        nearest = peer
        for hop in reversed(forwarded.decode("latin-1").split(",")):
            address = self._parse(hop.strip())
            if address is None:
                break
            nearest = address
            if not self._trusted(address):
                break
        return str(nearest)

    def _trusted(self, address: Address) -> bool:
        return any(address.version == network.version and address in network for network in self._networks)

    def _parse(self, text: str) -> Address | None:
        try:
            return self._parsed[text]
        except KeyError:
            if len(self._parsed) >= MAX_REMEMBERED:
                self._parsed.clear()
            parsed = self._parsed[text] = _parse(text)
            return parsed


def _parse(text: str) -> Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        # A socket on [::] shows IPv4 clients as ::ffff:1.2.3.4; a zone id only means something on this host.
        return address.ipv4_mapped or IPv6Address(int(address))
    return address


def _network_of(address: Address | None, text: str) -> str:
    if isinstance(address, IPv6Address):
        return str(IPv6Network((int(address), IPV6_PREFIX), strict=False))
    return str(address) if address is not None else text
