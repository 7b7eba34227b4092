"""Which IP address does a host spell? Resolvers take more spellings for one than URLs are written in."""

import ipaddress
import socket

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


def as_ip(host: str) -> IPAddress | None:
    """The address that `host` spells, in whatever spelling a resolver takes for one; None for a name."""
    bare = host.rstrip(".")
    try:
        return ipaddress.ip_address(bare)
    except ValueError:
        pass
    try:
        # A resolver takes 2852039166, 0xA9FEA9FE and 0251.0376.0251.0376 for addresses: so do we.
        return ipaddress.IPv4Address(socket.inet_aton(bare))
    except (OSError, ValueError):
        return None


def usual_host(host: str) -> str:
    """A URL's host in its one usual spelling: lower case, no last point, an IPv4 address without disguise."""
    address = as_ip(host)
    return host.lower().rstrip(".") if address is None else str(getattr(address, "ipv4_mapped", None) or address)
