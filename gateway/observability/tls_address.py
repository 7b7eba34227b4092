"""Which address is meant by `nginx:443`?"""

from typing import NamedTuple

MAX_PORT = 65535


class TlsAddress(NamedTuple):
    """Where somebody serves TLS; the host is its name for SNI too."""

    host: str
    port: int


def tls_address(text: str) -> TlsAddress:
    """What `host:port` says; an IPv6 address stands in brackets.

    Raises:
        ValueError: it does not say that.
    """
    host, colon, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    digits = port.isascii() and port.isdigit() and 0 < int(port) <= MAX_PORT
    if not (colon and bare and digits) or (":" in bare and bare == host) or not bare.isprintable() or "/" in bare:
        raise ValueError(f"{text!r} is not of the form host:port, as nginx:443 or [2001:db8::1]:443")
    return TlsAddress(bare, int(port))
