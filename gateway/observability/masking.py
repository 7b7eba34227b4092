"""Which part of a client's address may be kept? Its network: the /24 of an IPv4 address, the /48 of an IPv6 one."""

import re
from functools import lru_cache
from ipaddress import ip_address, ip_network

IPV4 = 4
IPV4_PREFIX = 24
IPV6_PREFIX = 48
"""What one site is given: beneath it stand subscribers and their machines."""
MAX_REMEMBERED = 8192
"""As many as `auth/address.py` keeps; to parse an address costs 3 us."""

_ORGANIZATION = re.compile(r"(?<![\w:])ip:([0-9A-Fa-f:.]{2,45})(/\d{1,3})?")


@lru_cache(MAX_REMEMBERED)
def masked(address: str) -> str:
    """The address with its last bits zeroed; what is none is as it was."""
    return _network(address, address)


def masked_organizations(text: str) -> str:
    """A text with every `ip:...` in it masked, as organizations are called that are addresses."""
    return _ORGANIZATION.sub(_masked, text)


@lru_cache(MAX_REMEMBERED)
def _masked_one(address: str, suffix: str) -> str:
    plain = _network(address, "")
    if not plain:
        return f"ip:{address}{suffix}"
    return f"ip:{plain}/{IPV6_PREFIX}" if suffix else f"ip:{plain}"


def _masked(found: "re.Match[str]") -> str:
    return _masked_one(found[1], found[2] or "")


def _network(address: str, otherwise: str) -> str:
    try:
        known = ip_address(address)
        prefix = IPV4_PREFIX if known.version == IPV4 else IPV6_PREFIX
        return str(ip_network((int(known), prefix), strict=False).network_address)
    except ValueError:
        return otherwise
