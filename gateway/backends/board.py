"""What do all processes of the host know of the backends? One page of shared memory that each of them maps."""

import contextlib
import fcntl
import functools
import mmap
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence

from gateway.backends.board_layout import (
    ANSWER,
    BACKENDS,
    BOARD_BYTES,
    LAYOUT,
    ROWS,
    WORD_BYTES,
    Half,
    HeadWord,
    Regions,
)
from gateway.backends.health import BackendHealth
from gateway.backends.verdicts import Verdicts
from gateway.core.fence import fence
from gateway.core.fleet import Backend
from gateway.core.sealed_memory import sealed_memory

TRIES = 100
"""How often the lock is asked for, each time after letting others run: 0.3 ms. It is held for 10 us, unless its holder
does not run; of 1,600 updates by eight processes at once none was dropped with 30."""
HALF_WORD = 0xFFFF_FFFF


def create_board() -> int:
    """A descriptor of a new board on which nobody has said anything; see `core.sealed_memory`.

    Raises:
        OSError: there is not enough memory.
    """
    page = sealed_memory("gateway-board", BOARD_BYTES)
    os.pwrite(page, LAYOUT.to_bytes(WORD_BYTES, sys.byteorder), HeadWord.LAYOUT * WORD_BYTES)
    return page


class Board:
    """One process's view of the board; a process has one of each board, and uses it from one thread.

    The prober's verdicts and its beat have one writer, and so has each worker's row: plain stores. The circuits have
    many, one at a time (`exclusive`). Every word is an aligned store of eight bytes, which x86-64 and arm64 never
    show by halves.

    Args:
        backends: all that the settings describe, in the same order in every process of the board.
        page: the inherited descriptor, which stays open as long as the board is used; None for a board of one
            process.
        row: this worker's row, 0 up to ROWS - 1.

    Attributes:
        backends: by their column, as given and as `follow` has it.
        indexes: the columns by the backends' names.
        epoch: gives a number that is another one after any change of a verdict or a circuit; one load. Who acts on a
            new one calls `fence` before reading what it is about.
        circuits: the circuits' words, which belong to `Breaker`.

    Raises:
        ValueError: too many backends, two of one name, no such row, or a board of another release.
    """

    def __init__(self, backends: Sequence[Backend], page: int | None = None, row: int = 0) -> None:
        self.backends = dict(enumerate(backends))
        self.indexes = {backend.name: index for index, backend in self.backends.items()}
        if len(self.backends) > BACKENDS:
            raise ValueError(f"{len(self.backends)} backends are configured, and {BACKENDS} are the most there may be")
        if len(self.indexes) < len(self.backends):
            raise ValueError("two backends have one name")
        if not 0 <= row < ROWS:
            raise ValueError(f"row {row} is none of the {ROWS} that a board has")
        self._page = page
        self._free = True  # as far as is known, nobody stands still with the lock in his hand
        memory = memoryview(mmap.mmap(-1 if page is None else page, BOARD_BYTES))
        self._regions = Regions.of(memory)
        if page is None:
            self._regions.head[HeadWord.LAYOUT] = LAYOUT
        if self._regions.head[HeadWord.LAYOUT] != LAYOUT:
            raise ValueError("the supervisor's board is of another release: restart it, a reload is not enough")
        self._verdicts = Verdicts(self._regions)
        self.circuits = self._regions.circuits
        self.epoch: Callable[[], int] = functools.partial(self._regions.head.__getitem__, HeadWord.CHANGES)
        mine = slice(row * BACKENDS, (row + 1) * BACKENDS)
        self._in_flight = self._regions.in_flight[mine]
        self._alive = self._regions.alive[mine]
        self._use(row)

    def index(self, name: str) -> int:
        """Where the backend of that name stands in `backends`.

        Raises:
            KeyError: there is none.
        """
        return self.indexes[name]

    def find(self, backend: Backend) -> int | None:
        """Where the backend of the same name and URL stands; None: there is none."""
        index = self.indexes.get(backend.name)
        return None if index is None or self.backends[index].url != backend.url else index

    def follow(self, placed: Mapping[int, Backend]) -> None:
        """Know the backends that stand on these columns from now on.

        Whoever has left is known until another one stands in its column, for the requests that still run there.
        """
        left = {index: backend for index, backend in self.backends.items() if index not in placed}
        self.backends.update(placed)
        known = {backend.name: index for index, backend in (*left.items(), *placed.items())}
        self.indexes.update(known)
        for name in self.indexes.keys() - known.keys():
            del self.indexes[name]

    # What the prober says.

    def publish(self, name: str, health: BackendHealth) -> None:
        """The prober's verdict on a backend; only one process may call this. Nothing happens when it stands there."""
        self.publish_at(self.indexes[name], health)

    def publish_at(self, index: int, health: BackendHealth) -> None:
        """The same for the backend of that column."""
        if self._verdicts.write(index, health):
            self._raise(Half.VERDICTS)

    def verdict(self, name: str) -> BackendHealth | None:
        """What the prober last said of the backend of that name; None while it has said nothing."""
        return self._verdicts.read(self.indexes[name])

    def beat(self, now: float) -> None:
        """The prober lives, says the prober; `now` in seconds on the monotonic clock, as all moments here."""
        self._regions.beat[HeadWord.BEAT] = now

    def last_beat(self) -> float:
        """When the prober last lived; 0.0 when it never did."""
        return self._regions.beat[HeadWord.BEAT]

    # What the workers see.

    def begin(self, index: int) -> None:
        """One more request of this worker's is at that backend."""
        self._in_flight[index] += 1

    def end(self, index: int) -> None:
        """One less, of which nothing is known; each `begin` is followed by this or by `answered`, once."""
        self._in_flight[index] -= 1

    def answered(self, index: int) -> None:
        """One less, as it was answered to its end, which is a sign of life."""
        self._in_flight[index] += ANSWER - 1

    def alive(self, index: int, at: float) -> None:
        """This worker saw a sign of life of that backend: a token, or an answer."""
        self._alive[index] = at

    def in_flight(self, index: int) -> int:
        """Requests at that backend, of all workers together; 0.4 us for four rows in use, 1.5 us for all of them."""
        end = self._regions.head[HeadWord.ROWS_USED] * BACKENDS
        return sum(self._regions.in_flight[index:end:BACKENDS]) % ANSWER

    def answers(self, index: int) -> int:
        """Requests that were answered there by the workers that live; changes with each, and when a worker ends."""
        end = self._regions.head[HeadWord.ROWS_USED] * BACKENDS
        return sum(self._regions.in_flight[index:end:BACKENDS]) // ANSWER

    def last_alive(self, index: int) -> float:
        """When any worker last saw a sign of life of that backend; 0.0 when none did."""
        end = self._regions.head[HeadWord.ROWS_USED] * BACKENDS
        return max(self._regions.alive[index:end:BACKENDS])

    def clear_row(self, row: int) -> None:
        """Forget what stands in a row whose worker has ended, or has not begun; by the supervisor."""
        for word in range(row * BACKENDS, (row + 1) * BACKENDS):
            self._regions.in_flight[word] = 0
            self._regions.alive[word] = 0.0
        self._use(row)

    def suspect(self, index: int, until: float) -> None:
        """A connection to that backend has just failed: the prober is to look at once, and until that moment."""
        self._regions.suspected[index] = until

    def suspected_until(self, index: int) -> float:
        """Until when the prober is asked to look; 0.0 when nobody ever asked."""
        return self._regions.suspected[index]

    # What hosts that share their circuits have agreed on.

    def bar(self, index: int, until: float) -> None:
        """No trial of that backend begins on this host until that moment, as another host's may; 0: it may."""
        self._regions.barred[index] = until

    def barred(self, index: int, now: float) -> bool:
        """Whether a trial has to be claimed first; a request that meets this is noted, so that somebody does."""
        if self._regions.barred[index] <= now:
            return False
        self._regions.wanted[index] = now
        return True

    def wanted(self, index: int) -> float:
        """When a request last met a bar; 0.0 when none did."""
        return self._regions.wanted[index]

    # What they decide together.

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[bool]:
        """Whether no other process is in here for as long as this one is; False: it was not to be had in time.

        It is a record lock on the page: the kernel takes it from whoever dies. Who is stopped (SIGSTOP) keeps it, so
        nobody waits for long, and then not at all until it was free again. A short `with`, without any `await`.
        """
        held = self._lock()
        try:
            yield held
        finally:
            if held and self._page is not None:
                fcntl.lockf(self._page, fcntl.LOCK_UN)

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """Around stores to `circuits` that change what may be done; within `exclusive`."""
        if not self.unsettled():
            self._raise(Half.CIRCUITS)
        try:
            yield
        finally:
            self._raise(Half.CIRCUITS)

    def unsettled(self) -> bool:
        """Whether a circuit is being changed, or its writer died over it, so that the epoch says nothing."""
        return self._regions.halves[Half.CIRCUITS] % 2 == 1

    def new_trial(self) -> int:
        """A number that no other trial on this board has; within `exclusive`."""
        number = self._regions.head[HeadWord.TRIALS] + 1
        self._regions.head[HeadWord.TRIALS] = number
        return number

    def adopt(self, other: "Board") -> None:
        """Take over circuits and verdicts of another board's backends that are the same here, and its prober's beat.

        A generation's board begins so, before anybody else uses it.
        """
        with self.changing():
            for index, backend in self.backends.items():
                found = other.find(backend)
                if found is None:
                    continue
                self.circuits.copy(index, other.circuits, found)
                if (verdict := other.verdict(backend.name)) is not None:
                    self.publish(backend.name, verdict)
        self.beat(other.last_beat())

    def _use(self, row: int) -> None:
        """Sums over the workers reach as far as this row."""
        with self.exclusive():
            used = self._regions.head[HeadWord.ROWS_USED]
            self._regions.head[HeadWord.ROWS_USED] = max(used, row + 1)

    def _raise(self, half: int) -> None:
        """Tell that something has changed, or is about to: after all stores before, before all that follow."""
        fence()
        self._regions.halves[half] = (self._regions.halves[half] + 1) & HALF_WORD
        fence()

    def _lock(self) -> bool:
        if self._page is None:
            return True
        for _ in range(TRIES if self._free else 1):
            try:
                fcntl.lockf(self._page, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.sched_yield()
            else:
                self._free = True
                return True
        self._free = False
        return False
