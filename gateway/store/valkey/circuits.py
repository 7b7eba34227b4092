"""What do hosts know of backends together? One hash at the server that all of them share; a question is one script."""

from typing import TYPE_CHECKING

import msgspec

from gateway.store.circuits import AwayError, Doubt, SharedCircuit, Told
from gateway.store.valkey.address import address_of
from gateway.store.valkey.connection import LostError, Reply
from gateway.store.valkey.scripts import CIRCUITS
from gateway.store.valkey.session import Session
from gateway.store.valkey.workers import new_name

if TYPE_CHECKING:
    from gateway.store.settings import StoreSettings

CONNECT_SECS = 1.0
"""For a connection and its scripts; nobody waits for it but who shares circuits."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[str, list[tuple[str, SharedCircuit]], list[Doubt]]).decode


class ValkeyCircuits:
    """The `Exchange` of one host, which connects when it is asked and has no connection.

    Attributes:
        asked: how many questions were sent.
    """

    def __init__(self, settings: "StoreSettings") -> None:
        self._host = new_name()
        patience = settings.redis_timeout_ms / 1e3
        self._session = Session(address_of(settings), self._host, patience, lambda *_: None, lambda _: None)
        self.asked = 0

    def close(self) -> None:
        """Have no connection."""
        self._session.close()

    async def look(self, known: str) -> Told | None:
        """See `Exchange.look`."""
        packed = await self._run("look", known)
        if packed is None:
            return None
        stamp, circuits, doubts = _decode(packed)
        return Told(stamp, dict(circuits), doubts)

    async def opened(self, backend: str, *, seconds: float, pause: float, why: str, trial: bool) -> int:
        """See `Exchange.opened`."""
        return int(await self._run("opened", backend, seconds, pause, why, trial))

    async def closed(self, backend: str, version: int) -> int:
        """See `Exchange.closed`."""
        return int(await self._run("closed", backend, version))

    async def claim(self, backend: str, seconds: float) -> bool:
        """See `Exchange.claim`."""
        return bool(await self._run("claim", backend, seconds))

    async def give_back(self, backend: str) -> None:
        """See `Exchange.give_back`."""
        await self._run("give_back", backend)

    async def doubt(self, backend: str, reason: str, seconds: float) -> None:
        """See `Exchange.doubt`."""
        await self._run("doubt", backend, reason, seconds)

    async def _run(self, operation: str, *words: object) -> Reply:
        try:
            if not self._session.connected:
                await self._session.open(CONNECT_SECS)
            self.asked += 1
            return await self._session.run(
                self._session.scripts.circuits, CIRCUITS, operation, self._host, _encode(words)
            )
        except LostError as error:
            raise AwayError(str(error)) from error
