"""An address is a host and a port, and nothing else is one."""

import pytest

from gateway.observability.tls_address import tls_address


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [("nginx:443", "nginx", 443), ("10.0.0.1:8443", "10.0.0.1", 8443), ("[2001:db8::1]:443", "2001:db8::1", 443)],
)
def test_a_host_and_a_port(text: str, host: str, port: int) -> None:
    assert tls_address(text) == (host, port)


@pytest.mark.parametrize(
    "text",
    ["", "nginx", ":443", "nginx:", "nginx:0", "nginx:65536", "nginx:https", "::1:443", "https://nginx:443", "[]:1"],
)
def test_what_is_none_is_said_with_its_form(text: str) -> None:
    with pytest.raises(ValueError, match=r"not of the form host:port, as nginx:443"):
        tls_address(text)
