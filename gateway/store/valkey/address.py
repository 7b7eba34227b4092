"""Where is the server, and who are we to it? REDIS_URL taken apart, so that the password is shown nowhere."""

import functools
import ssl
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

if TYPE_CHECKING:
    from gateway.store.settings import StoreSettings

PORT = 6379
TLS = {"redis": False, "valkey": False, "unix": False, "rediss": True, "valkeys": True}


@dataclass(frozen=True)
class Address:
    """A server by its socket's path, or by host and port; `database` is 0 in a cluster.

    `ca_file` has the authorities that sign its certificate, `None` stands for the system's; `cert_file` and `key_file`
    are what we show it.
    """

    path: str = ""
    host: str = "localhost"
    port: int = PORT
    tls: bool = False
    user: str = "default"
    password: str = field(default="", repr=False)
    database: int = 0
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None

    def __str__(self) -> str:
        return self.path or f"{self.host}:{self.port}"

    def at(self, named: str) -> "Address":
        """The same server's node that one of its nodes has named, as `host:port`, or `:port` of the host it is on."""
        host, _, port = named.rpartition(":")
        return replace(self, path="", host=host.strip("[]") or self.host, port=int(port))

    @functools.cached_property
    def tls_context(self) -> ssl.SSLContext | None:
        """What checks the server's certificate and has ours; read once, as it takes longer than a loop may stand still.

        Raises OSError, of which SSLError is one: a file cannot be used.
        """
        if not self.tls:
            return None
        context = ssl.create_default_context(cafile=self.ca_file)
        if self.cert_file is not None:
            context.load_cert_chain(self.cert_file, self.key_file)
        return context


def address_of(settings: "StoreSettings") -> Address:
    """Where REDIS_URL's server is, and how it is believed."""
    return replace(
        parse(settings.redis_url.get_secret_value()),
        ca_file=settings.redis_ca_file,
        cert_file=settings.redis_cert_file,
        key_file=settings.redis_key_file,
    )


def parse(url: str) -> Address:
    """The address in a `redis://`, `rediss://`, `valkey://`, `valkeys://` or `unix://` URL.

    Raises ValueError with a sentence that does not repeat the URL, which may hold a password.
    """
    parts = urlsplit(url)
    if parts.scheme not in TLS:
        raise ValueError(f"REDIS_URL must begin with one of {', '.join(f'{scheme}://' for scheme in TLS)}")
    try:
        port = parts.port
    except ValueError:
        raise ValueError("REDIS_URL has a port that is no number below 65,536") from None
    if parts.scheme == "unix" and not parts.path:
        raise ValueError("REDIS_URL names no socket: unix:///path/of/the/socket")
    return Address(
        path=unquote(parts.path) if parts.scheme == "unix" else "",
        host=parts.hostname or "localhost",
        port=port or PORT,
        tls=TLS[parts.scheme],
        user=unquote(parts.username or "default"),
        password=unquote(parts.password or ""),
        database=database(parts),
    )


def database(parts: SplitResult) -> int:
    """`/3` at the end, or `?db=3`."""
    stated = parse_qs(parts.query).get("db", [""])[0] or ("" if parts.scheme == "unix" else parts.path.strip("/"))
    if stated and not stated.isdecimal():
        raise ValueError("REDIS_URL names a database that is no number")
    return int(stated or 0)
