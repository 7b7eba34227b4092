"""Which bodies are still coming, and are they too slow? One look at all of a worker's, not a timer for each."""

import asyncio

from gateway.core.context import RequestContext
from gateway.core.lifeline import Cut
from gateway.core.looks import Looks

LOOK_SECS = 1.0
"""Between two looks: so much later than its time a slow body may be cut."""
LOOKS = 4
"""A short time is looked at so often before it is over."""

_BODY_STALLED = Cut.BODY_STALLED


class Arrivals:
    """The bodies that are being read, each with the moment it began and that of its last byte.

    Almost every body is complete when it is first asked for.

    Args:
        stall: seconds that may pass without a byte.
        total: seconds in which a body must be complete, however steadily it drips.
    """

    def __init__(self, stall: float, total: float) -> None:
        self._stall = stall
        self._total = total
        self._coming: dict[RequestContext, tuple[float, float]] = {}
        self._looks = Looks(min(LOOK_SECS, stall / LOOKS, total / LOOKS), self._look)

    def begin(self, ctx: RequestContext) -> None:
        """This request's body is waited for."""
        now = asyncio.get_running_loop().time()
        self._coming[ctx] = now, now
        self._looks.begin()

    def advance(self, ctx: RequestContext) -> None:
        """A part has come, and another is to come."""
        began, _ = self._coming[ctx]
        self._coming[ctx] = began, asyncio.get_running_loop().time()

    def end(self, ctx: RequestContext) -> None:
        """Nobody waits for it any more."""
        del self._coming[ctx]

    def _look(self) -> bool:
        now = asyncio.get_running_loop().time()
        for ctx, (began, last) in self._coming.items():
            if now - last >= self._stall or now - began >= self._total:
                ctx.lifeline.cut(_BODY_STALLED)
        return bool(self._coming)
