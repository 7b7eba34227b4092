"""Which sockets addresses has a name? Asked anew for new connections, after a short time."""

import asyncio
import ipaddress
import socket
from collections.abc import Callable

from gateway.upstream.address import is_metadata
from gateway.upstream.errors import NeverSent

Target = tuple[int, tuple[str, int]]
"""Address family, and IP address with port."""
Lookup = Callable[[str, int], list[Target]]
"""A blocking question to the system's resolver; raises OSError."""


def system_lookup(host: str, port: int) -> list[Target]:
    """Ask the host's resolver, in the order in which it prefers the addresses."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(family, (str(where[0]), int(where[1]))) for family, _, _, _, where in found]


class Resolver:
    """Names to addresses, each kept for `keep_secs`; those who ask at the same time share one question."""

    def __init__(self, keep_secs: float, lookup: Lookup = system_lookup) -> None:
        self._keep_secs = keep_secs
        self._lookup = lookup
        self._known: dict[tuple[str, int], tuple[float, list[Target]]] = {}
        self._asking: dict[tuple[str, int], asyncio.Future[list[Target]]] = {}

    async def resolve(self, host: str, port: int) -> list[Target]:
        """The addresses of a host, at least one.

        Raises:
            NeverSent: the name is unknown (`dns`), or leads to a metadata service (`forbidden_address`).
        """
        key = host, port
        loop = asyncio.get_running_loop()
        known = self._known.get(key)
        if known is not None and known[0] > loop.time():
            return known[1]
        asking = self._asking.get(key)
        if asking is None:
            asking = self._asking[key] = loop.run_in_executor(None, self._lookup, host, port)
            asking.add_done_callback(lambda done: self._learn(key, done))
        try:
            # Shielded: the question goes on for the others when one of those who asked is cancelled.
            targets = await asyncio.shield(asking)
        except OSError:
            raise NeverSent("dns") from None
        if any(is_metadata(ipaddress.ip_address(ip.partition("%")[0])) for _, (ip, _) in targets):
            raise NeverSent("forbidden_address")
        return targets

    def _learn(self, key: tuple[str, int], done: "asyncio.Future[list[Target]]") -> None:
        del self._asking[key]
        if not done.cancelled() and done.exception() is None:
            self._known[key] = done.get_loop().time() + self._keep_secs, done.result()
