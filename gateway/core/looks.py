"""When is it looked at again? One timer for all that a worker watches of one kind, instead of one for each."""

import asyncio
from collections.abc import Callable


class Looks:
    """Calls `look` again and again while it says that something is left to look at; it begins when asked to.

    A timer of its own, set and cancelled, would cost each request 10,000 instructions and more.

    Args:
        every: seconds between two looks.
        look: looks at everything; whether anything is left.
    """

    __slots__ = ("_due", "_look", "every")

    def __init__(self, every: float, look: Callable[[], bool]) -> None:
        self.every = every
        self._look = look
        self._due = False

    def begin(self) -> None:
        """There is something to look at."""
        if not self._due:
            self._due = True
            asyncio.get_running_loop().call_later(self.every, self._again)

    def _again(self) -> None:
        self._due = False
        if self._look():
            self.begin()
