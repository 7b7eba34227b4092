"""A masked address says which network it is of, and no more."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.auth.address import AddressBook
from gateway.observability.masking import masked, masked_organizations

ADDRESSES = st.ip_addresses()


@given(ADDRESSES.map(str))
def test_a_masked_address_is_its_networks(address: str) -> None:
    prefix = 24 if ip_address(address).version == 4 else 48
    assert masked(address) == str(ip_network(f"{address}/{prefix}", strict=False).network_address)
    assert masked(masked(address)) == masked(address)


@pytest.mark.parametrize("text", ["", "unix", "localhost", "1.2.3", "10.0.0.4:8000", "fe80::1%eth0x/3"])
def test_what_is_no_address_stays(text: str) -> None:
    assert masked(text) == text


@given(ADDRESSES.map(str))
def test_an_organization_that_is_an_address_is_masked_alike(address: str) -> None:
    client, organization = AddressBook([]).caller_of(address, {})
    assert organization.startswith("ip:")
    hidden = masked_organizations(organization)
    assert hidden.removeprefix("ip:").removesuffix("/48") == masked(client)
    assert hidden.endswith("/48") == organization.endswith("/64")
    assert masked_organizations(f"({organization}, org:acme)") == f"({hidden}, org:acme)"


@pytest.mark.parametrize("name", ["org:acme", "org:ip:1.2.3.4x", "ip:", "ip:acme", "zip:1.2.3.4", ""])
def test_other_organizations_keep_their_names(name: str) -> None:
    assert masked_organizations(name) == name
