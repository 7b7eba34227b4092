"""How is the mock steered? Over its own two paths, while it runs."""

import http.client
from dataclasses import dataclass
from typing import Any

import orjson

PATIENCE_SECS = 5.0


@dataclass(frozen=True)
class Mock:
    """A running mock on this host."""

    port: int

    def stats(self) -> dict[str, Any]:
        """Its counters, as mock.c names them; the asking is one of its requests and connections."""
        return self._get("/_stats")

    def set(self, *, events: int = 64, delay_ms: float = 0, first_ms: float = 0) -> None:
        """Say what its answers look like from now on.

        Args:
            events: of a stream.
            delay_ms: between two of them; 0: as fast as it can.
            first_ms: before an answer begins.
        """
        self._get(f"/_set?n={events}&d={delay_ms}&f={first_ms}")

    def idle(self) -> bool:
        """Whether no answer is under way."""
        return not self.stats()["active"]

    def _get(self, path: str) -> dict[str, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECS)
        try:
            connection.request("GET", path)
            answer: dict[str, Any] = orjson.loads(connection.getresponse().read())
        finally:
            connection.close()
        return answer
