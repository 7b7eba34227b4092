"""Which worker is it, and is it going away? What a worker process tells the application it runs."""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Drain:
    """The end of a worker, in two moments.

    First `draining` turns True: nothing new is accepted, `/ready` says no, running requests go on. When DRAIN_SECS
    are over, the deadline's callbacks run: whoever holds requests cuts them, with a word of farewell.
    """

    draining: bool = False
    _callbacks: list[Callable[[], None]] = field(default_factory=list)

    def on_deadline(self, callback: Callable[[], None]) -> None:
        """Call `callback` once, from the event loop, when the time to finish is over."""
        self._callbacks.append(callback)

    def begin(self) -> None:
        """Nothing new from here on."""
        self.draining = True

    def end(self) -> None:
        """The time to finish is over."""
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()


@dataclass(frozen=True, slots=True)
class WorkerIdentity:
    """One worker among its siblings.

    Attributes:
        index: 0 up to `workers - 1`; a worker that replaces a dead one takes over its index.
        workers: how many there are.
        drain: tells of this worker's end.
        page: the inherited descriptor of the page that its metrics are counted in; None: nobody collects them.
    """

    index: int = 0
    workers: int = 1
    drain: Drain = field(default_factory=Drain)
    page: int | None = None
