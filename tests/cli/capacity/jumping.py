"""How does a test let hours pass in no time? An event loop whose clock jumps to its next timer."""

import asyncio
import selectors


class Jump(selectors.DefaultSelector):
    """Waits for nobody: what a loop would sleep is added to its clock."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready by now; else the time has passed."""
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise RuntimeError("nothing is ready and no timer is set: this loop would wait for ever")
            self.now += timeout
        return ready


class JumpingLoop(asyncio.SelectorEventLoop):
    """A loop on such a clock, which begins at 0."""

    def __init__(self) -> None:
        self._jump = Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        """Seconds of this loop's own clock."""
        return self._jump.now
