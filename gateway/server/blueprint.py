"""What are the workers of one generation made from? Settings, and a companion that watches the fleet for them."""

import contextlib
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from gateway.server.settings import ServerSettings


class Companion(Protocol):
    """What lives in the supervisor beside the workers of one generation: it knows the fleet for all of them."""

    @property
    def descriptor(self) -> int | None:
        """The page that its workers inherit, see `core.worker.WorkerIdentity.board`."""
        ...

    def row(self) -> AbstractContextManager[int]:
        """A worker's own row of that page, free before and after."""
        ...

    def begin(self) -> None:
        """Look at the fleet from now on; the second call does nothing."""
        ...

    async def first_round(self) -> None:
        """Wait until every backend was looked at once."""
        ...


class Alone:
    """The companion of workers that nobody tells of a fleet; also the scope that it lives in."""

    descriptor: int | None = None

    def row(self) -> AbstractContextManager[int]:
        """The one row."""
        return contextlib.nullcontext(0)

    def begin(self) -> None:
        """There is nobody to look at."""

    async def first_round(self) -> None:
        """There is nobody to look at."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """It holds nothing."""


CompanionMaker = Callable[[int, Companion | None], AbstractAsyncContextManager[Companion]]
"""Makes a companion from the descriptor of a page for its own figures, and the companion of the generation before."""


@dataclass(frozen=True, slots=True)
class Blueprint:
    """One state of settings and code, as it was read; a generation of workers is made from it.

    Attributes:
        settings: for the supervisor and all workers of the generation.
        longest_request: seconds that a request may take however well it goes; a retiring worker is waited for so long.
        companion: makes the generation's companion.
        control: the module that its control process runs, see `server.control`; empty: there is none.
        idle_folder: where is kept how long no request has run, see `server.sighting`; None: nowhere. That of the first
            generation counts.
    """

    settings: ServerSettings
    longest_request: float = 0.0
    companion: CompanionMaker = lambda _page, _before: Alone()
    control: str = ""
    idle_folder: Path | None = None


Renew = Callable[[], Awaitable[Blueprint]]
"""Reads the settings anew. Raises `NotRenewedError`."""


class NotRenewedError(Exception):
    """The workers stay as they are.

    Attributes:
        reasons: sentences for the operator.
        outcome: one word: `refused` (the settings will not do) or `failed` (new workers did not come up).
    """

    def __init__(self, reasons: Iterable[str], outcome: str) -> None:
        self.reasons = tuple(reasons)
        self.outcome = outcome
        super().__init__("; ".join(self.reasons))
