"""Where does a client knock? At nginx with TLS where one can be had, else at the gateway itself."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support import nginx
from tests.support.gateway import Gateway


@dataclass(frozen=True, slots=True)
class FrontDoor:
    """An address for clients.

    Attributes:
        url: without a trailing slash.
        ca_file: what a client must trust; None where there is no TLS.
    """

    url: str
    ca_file: Path | None

    @classmethod
    def of(cls, server: nginx.NginxServer) -> "FrontDoor":
        """That of a running nginx."""
        return cls(server.https_url, server.ca_file)

    def trust(self) -> ssl.SSLContext | bool:
        """What httpx takes as `verify`."""
        return True if self.ca_file is None else ssl.create_default_context(cafile=str(self.ca_file))

    def environment(self) -> dict[str, str]:
        """With these curl, Node.js and Python's HTTP libraries trust it."""
        if self.ca_file is None:
            return {}
        return dict.fromkeys(("CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE"), str(self.ca_file))


@contextmanager
def front_door(gateway: Gateway) -> Iterator[FrontDoor]:
    """The best door that this machine can put before `gateway`; it is gone when the scope ends."""
    if nginx.missing() is not None:
        yield FrontDoor(gateway.url, None)
        return
    server = nginx.start_nginx(gateway.port, metrics_port=gateway.metrics_port)
    try:
        yield FrontDoor.of(server)
    finally:
        server.stop()
