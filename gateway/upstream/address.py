"""Where is a backend? An http(s) URL, checked once, and the addresses that no backend may have."""

import ipaddress
import re
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from gateway.core.ip_address import IPAddress, as_ip, usual_host

METADATA_NAMES = frozenset(
    {
        "metadata",
        "metadata.google.internal",
        "metadata.goog",
        "instance-data",
        "instance-data.ec2.internal",
        "metadata.azure.internal",
        "metadata.tencentyun.com",
    }
)
"""Names under which clouds serve their hosts' credentials."""

METADATA_NETWORKS = tuple(
    ipaddress.ip_network(network)
    for network in (
        "169.254.0.0/16",  # link-local: 169.254.169.254 nearly everywhere, 169.254.170.2 for AWS containers
        "100.100.100.200/32",  # Alibaba
        "168.63.129.16/32",  # Azure
        "192.0.0.192/32",  # Oracle
        "fd00:ec2::/32",  # AWS over IPv6
        "fd20:ce::254/128",  # Google over IPv6
        "fe80::/10",  # link-local
    )
)
"""Where clouds serve their hosts' credentials; whoever reaches them through us has them."""

NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")
"""RFC 8215: for a network's own translator, which chooses in it a prefix of any length that RFC 6052 has."""
COMPATIBLE = ipaddress.IPv6Network("::/96")
DEFAULT_PORTS = {"http": 80, "https": 443}
MAX_HOST = 253
HOST = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?")
PATH = re.compile(r"(/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)*/?")


class Address(NamedTuple):
    """One backend's origin; usable as a key, at the price of a tuple's hash.

    Attributes:
        scheme: `http` or `https`.
        host: lower case; an IP address in its usual spelling, IPv6 without brackets.
        port: stated, or the scheme's own.
        base: put before every path; empty, or starts with a slash and ends without one.
        authority: what the Host header says.
    """

    scheme: str
    host: str
    port: int
    base: bytes
    authority: bytes

    @classmethod
    def parse(cls, url: str) -> "Address":
        """Read `http://chat0:8000[/base]`.

        Raises:
            ValueError: with one sentence, when it is no http(s) URL or no backend may stand there.
        """
        parts = _split(url)
        host = _host(parts.hostname or "", url)
        port = _port(parts, url)
        if not PATH.fullmatch(parts.path):
            raise ValueError(f"{url!r} has a path that is not plain.")
        name = f"[{host}]" if ":" in host else host
        shown = name if port == DEFAULT_PORTS[parts.scheme] else f"{name}:{port}"
        return cls(parts.scheme, host, port, parts.path.rstrip("/").encode("ascii"), shown.encode("ascii"))

    @property
    def tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.scheme == "https"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority.decode('ascii')}{self.base.decode('ascii')}"


def is_metadata(address: IPAddress) -> bool:
    """Whether `address` leads to a cloud's metadata service, IPv4 inside IPv6 included."""
    return any(form in network for form in _forms(address) for network in METADATA_NETWORKS)


def _forms(address: IPAddress) -> list[IPAddress]:
    """The address and every IPv4 address that it carries, or may: mapped, compatible, 6to4, NAT64."""
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    inner = [address.ipv4_mapped, address.sixtofour]
    if address in NAT64 or address in COMPATIBLE:
        inner.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    if address in LOCAL_NAT64:
        inner += _translated(int(address))
    return [address, *(form for form in inner if form is not None)]


def _translated(address: int) -> list[ipaddress.IPv4Address]:
    """Whom a translator may take it for: behind a prefix of 48, 56, 64 or 96 bits, without the bits 64 to 71."""
    spliced = address >> 64 << 56 | address & (1 << 56) - 1
    found = (spliced >> 40, spliced >> 32, spliced >> 24, address)
    return [ipaddress.IPv4Address(one & 0xFFFFFFFF) for one in found]


def _split(url: str) -> SplitResult:
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise ValueError(f"{url!r} holds characters that a URL must not have.")
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ValueError(f"{url!r} is no URL.") from error
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
        raise ValueError(f"{url!r} is no http:// or https:// URL with a host.")
    if "@" in parts.netloc:
        raise ValueError("A backend's URL must not hold a user name or password; its key is BACKEND_API_KEY.")
    if "?" in url or "#" in url:
        raise ValueError(f"{url!r} must not have a query or a fragment.")
    return parts


def _port(parts: SplitResult, url: str) -> int:
    try:
        port = parts.port
    except ValueError as error:
        raise ValueError(f"{url!r} has a port outside 1 to 65535.") from error
    if port == 0 or (port is None and parts.netloc.endswith(":")):
        raise ValueError(f"{url!r} has a port outside 1 to 65535.")
    return port or DEFAULT_PORTS[parts.scheme]


def _host(host: str, url: str) -> str:
    """The host in its one usual spelling, so that a disguise (decimal, hex, octal, mapped) does not pass."""
    address = as_ip(host)
    if address is not None:
        if is_metadata(address):
            raise ValueError(f"{url!r} points at a metadata or link-local address, where no backend may stand.")
        return usual_host(host)
    name = usual_host(host)
    if name in METADATA_NAMES:
        raise ValueError(f"{url!r} points at a cloud's metadata service, where no backend may stand.")
    if not HOST.fullmatch(name) or len(name) > MAX_HOST:
        raise ValueError(f"{url!r} has a host that is no name and no address.")
    return name
