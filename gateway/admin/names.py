"""How are organizations, models and backends called? What a name may be, and what an address is called as one."""

import re
from ipaddress import IPv6Address, IPv6Network, ip_address, ip_network
from typing import Annotated

from pydantic import AfterValidator, Field

from gateway.auth.address import IPV6_PREFIX

ORGANIZATION = re.compile(r"org:[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?")
BACKEND = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
MODEL = r"^[A-Za-z0-9][A-Za-z0-9._~:@+=,/-]{0,199}$"
"""As on the Hugging Face Hub, and what people call their own."""
TEXT = r"^[^\x00-\x1f\x7f]*$"


def organization_id(text: str) -> str:
    """The organization that is meant: `org:acme`, `ip:192.0.2.7`, `ip:2001:db8::/64`, or an address without its kind.

    Raises:
        ValueError: it is none; the sentence says what one is.
    """
    if ORGANIZATION.fullmatch(text):
        return text
    try:
        return f"ip:{_network(text.removeprefix('ip:'))}"
    except ValueError:
        raise ValueError(
            "an organization is `org:` and a name of a-z, 0-9, `.`, `_` and `-`, or an address: `ip:192.0.2.7`, "
            "`ip:2001:db8::/64`"
        ) from None


def named_organization(text: str) -> str:
    """An organization that keys may belong to.

    Raises:
        ValueError: it is none.
    """
    if not ORGANIZATION.fullmatch(text):
        raise ValueError("a key's organization is `org:` and a name of a-z, 0-9, `.`, `_` and `-`")
    return text


def _network(text: str) -> str:
    """An address as requests from there are counted: an IPv6 one by its /64."""
    if "/" in text:
        network = ip_network(text)
        if not isinstance(network, IPv6Network) or network.prefixlen != IPV6_PREFIX:
            raise ValueError(text)
        return str(network)
    address = ip_address(text)
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(IPv6Network((int(address), IPV6_PREFIX), strict=False))
    return str(address)


OrganizationId = Annotated[
    str,
    Field(max_length=80, description="`org:acme`, `ip:192.0.2.7` or `ip:2001:db8::/64`; an address without its kind."),
    AfterValidator(organization_id),
]
NamedOrganization = Annotated[str, Field(max_length=70, pattern=r"^org:[a-z0-9]"), AfterValidator(named_organization)]
BackendName = Annotated[str, Field(pattern=BACKEND)]
ModelName = Annotated[str, Field(pattern=MODEL)]
