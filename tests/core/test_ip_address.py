"""Whatever a resolver takes for an address is one, and each has one usual spelling."""

import pytest

from gateway.core.ip_address import as_ip, usual_host


@pytest.mark.parametrize(
    ("host", "usual"),
    [
        *[
            (spelled, "127.0.0.1")
            for spelled in ("127.0.0.1", "127.1", "2130706433", "0x7f.1", "0177.0.0.1", "127.0.0.1.")
        ],
        *[("::ffff:127.0.0.1", "127.0.0.1"), ("2001:DB8:0::1", "2001:db8::1"), ("::", "::")],
    ],
)
def test_an_address_has_one_spelling(host: str, usual: str) -> None:
    assert as_ip(host) is not None
    assert usual_host(host) == usual


@pytest.mark.parametrize(
    ("host", "usual"),
    [("GPU1.Example.com.", "gpu1.example.com"), ("chat0", "chat0"), ("1.2.3.4.example", "1.2.3.4.example")],
)
def test_a_name_is_none(host: str, usual: str) -> None:
    assert as_ip(host) is None
    assert usual_host(host) == usual
