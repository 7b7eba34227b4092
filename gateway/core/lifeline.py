"""How is a request ended from outside? One cut, once, with a reason; every scope it holds unwinds."""

import asyncio
from enum import StrEnum
from typing import Any, NoReturn

from msgspec import Struct

from gateway.core.structs import stored_plainly


class Cut(StrEnum):
    """Why a request was ended by something other than itself."""

    CLIENT_GONE = "client_gone"
    """The client closed its connection."""
    SLOW_CLIENT = "slow_client"
    """The client took nothing for CLIENT_WRITE_TIMEOUT_SECS."""
    BODY_STALLED = "body_stalled"
    """No byte of an incomplete body for CLIENT_BODY_TIMEOUT_SECS, or no end of it in CLIENT_BODY_TOTAL_SECS."""
    LIFETIME = "lifetime"
    """MAX_REQUEST_SECS are over."""
    FIRST_TOKEN = "first_token"  # noqa: S105 -- a reason's name, no secret
    """FIRST_TOKEN_TIMEOUT_SECS are over."""
    IDLE = "idle"
    """No token for STREAM_IDLE_TIMEOUT_SECS."""
    SHUTDOWN = "shutdown"
    """The drain's time is over."""


@stored_plainly
class Lifeline(Struct, eq=False):  # made per request: see core/structs.py
    """Cancels a request's task and remembers why.

    A cut is a task cancellation, so whatever the request holds (slot, queue place, backend connection) is released
    by the `finally` of its scope. Whoever catches the CancelledError asks `mended()`: True means that the cut was
    ours and the task may go on to end the answer; False means that the cancellation came from elsewhere and must be
    raised again.
    """

    _task: "asyncio.Task[Any] | None"
    _pending: int = 0
    reason: Cut | None = None

    def cut(self, reason: Cut) -> None:
        """End the request; the first reason stays, except that a client's departure also ends a farewell.

        Calling it after `finish()` does nothing.
        """
        task = self._task
        if task is None or (self.reason is not None and (reason is not Cut.CLIENT_GONE or self.reason is reason)):
            return
        if self.reason is None:
            self.reason = reason
        self._pending += 1
        task.cancel(reason)

    def mended(self) -> bool:
        """Take our cancellations back from the task; call it in the `except CancelledError` that handles a cut."""
        if self._task is None or not self._pending:
            return False
        for _ in range(self._pending):
            self._task.uncancel()
        self._pending = 0
        return self._task.cancelling() == 0

    def finish(self) -> None:
        """The request is over: later cuts reach nobody."""
        self._task = None


async def until_cut() -> NoReturn:
    """Wait for the cut that whoever watches the client makes, or has made: nothing is left to be done for it.

    Raises:
        CancelledError: always.
    """
    await asyncio.get_running_loop().create_future()
    raise AssertionError("nobody sets that future")
