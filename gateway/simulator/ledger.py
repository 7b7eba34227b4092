"""What did this server run, and how did each request end? Where a test sees that a request ran twice."""

from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Literal

Ending = Literal["running", "finished", "aborted", "failed", "refused"]

PROBES = frozenset({"/health", "/ping", "/version", "/load", "/metrics", "/v1/models"})
"""Paths that pollers ask for all the time: in the ledger only when the whole of it is wanted."""

_KEPT = 20_000


@dataclass(slots=True, eq=False)
class Entry:
    """One request. Times are seconds of this process's monotonic clock.

    Args:
        ended: `finished` (the whole answer was written), `aborted` (the client left first), `failed` (a fault or an
            engine error cut it), `refused` (an error body instead of an answer), `running`.
        completion_tokens: tokens the engine made, whether or not they were delivered.
    """

    number: int
    method: str
    path: str
    started: float
    request_id: str | None = None
    response_id: str | None = None
    model: str | None = None
    streamed: bool = False
    status: int | None = None
    ended: Ending = "running"
    finished: float | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    fault: str | None = None
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: str | None = None


class Ledger:
    """The newest requests, oldest first; the count of all that ever came goes on beyond what is kept."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=_KEPT)
        self._number = 0

    def open(self, method: str, path: str, now: float) -> Entry:
        """Write down that a request came."""
        self._number += 1
        entry = Entry(self._number, method, path, now)
        self._entries.append(entry)
        return entry

    def close(self, entry: Entry, ended: Ending, now: float) -> None:
        """Write down how it ended; the first word stands."""
        if entry.ended == "running":
            entry.ended = ended
            entry.finished = now

    def clear(self) -> None:
        """Forget all requests, running ones too."""
        self._entries.clear()

    def rows(self, *, probes: bool = False, after: int = 0) -> Iterator[dict[str, object]]:
        """The entries beyond number `after` as plain values; those of `PROBES` only if asked for."""
        for entry in self._entries:
            if entry.number > after and (probes or entry.path not in PROBES):
                yield asdict(entry)
