"""Which IP addresses has a backend's name? Asked anew for new connections, after a short time."""

import asyncio
import socket
from collections.abc import Callable

from gateway.core.ip_address import as_ip
from gateway.upstream.address import is_metadata
from gateway.upstream.errors import NeverSent, no_connection

Lookup = Callable[[str], list[str]]
"""A blocking question to a resolver: a name's IP addresses, the preferred one first; raises OSError."""


def system_lookup(host: str) -> list[str]:
    """Ask the host's own resolver."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return [str(where[0]) for *_, where in found]


class Resolver:
    """Names to addresses, each kept for `keep_secs`; those who ask at the same time share one question."""

    def __init__(self, keep_secs: float, lookup: Lookup = system_lookup) -> None:
        self._keep_secs = keep_secs
        self._lookup = lookup
        self._known: dict[str, tuple[float, list[str]]] = {}
        self._asking: dict[str, asyncio.Future[list[str]]] = {}

    async def resolve(self, host: str) -> list[str]:
        """The addresses of a host; an address is its own.

        Raises:
            NeverSent: the name is unknown (`dns`), or leads to a metadata service (`forbidden_address`).
            PoolExhausted: this host cannot ask for it now.
        """
        if as_ip(host) is not None:
            return [host]
        loop = asyncio.get_running_loop()
        known = self._known.get(host)
        if known is not None and known[0] > loop.time():
            return known[1]
        asking = self._asking.get(host)
        if asking is None:
            asking = self._asking[host] = loop.run_in_executor(None, self._lookup, host)
            asking.add_done_callback(lambda done: self._learn(host, done))
        try:
            # Shielded: the question goes on for the others when one of those who asked is cancelled.
            found = await asyncio.shield(asking)
        except OSError as error:
            raise no_connection(error, "dns") from None
        if any(is_metadata(ip) for ip in map(as_ip, found) if ip is not None):
            raise NeverSent("forbidden_address")
        return found

    def _learn(self, host: str, done: "asyncio.Future[list[str]]") -> None:
        del self._asking[host]
        if not done.cancelled() and done.exception() is None:
            self._known[host] = done.get_loop().time() + self._keep_secs, done.result()
