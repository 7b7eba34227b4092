"""What do hosts tell one another of backends? Circuits that requests have opened, and doubts of their probers."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from msgspec import Struct


class AwayError(Exception):
    """Nobody can be told now; what was told last may or may not be known."""


class SharedCircuit(Struct, array_like=True, frozen=True):
    """A backend's circuit as all hosts have it.

    Attributes:
        version: another number after each change.
        open: whether a trial has to go well first.
        seconds: until a trial is due; below zero: it has been for so long.
        pause: seconds, from which the next pause is doubled.
        why: a word of `backends.circuit.Why`.
    """

    version: int
    open: bool
    seconds: float
    pause: float
    why: str


class Doubt(Struct, array_like=True, frozen=True):
    """What another host's prober says of a backend.

    Attributes:
        backend: its URL.
        reason: a word of `backends.reasons.Reason`.
        seconds: for how long its word holds, unless it is told again.
    """

    backend: str
    reason: str
    seconds: float


class Told(NamedTuple):
    """All that the hosts have told one another.

    Attributes:
        stamp: another one after any change; what stands before the colon is new when everything before was lost.
        circuits: by the backend's URL. One that does not stand here is closed, or was lost.
        doubts: those of other hosts.
    """

    stamp: str
    circuits: Mapping[str, SharedCircuit]
    doubts: Sequence[Doubt]


class Exchange(Protocol):
    """Where hosts tell one another; everything is AwayError while nobody can be told."""

    async def look(self, known: str) -> Told | None:
        """What is told now; None: the stamp is `known` still."""
        ...

    async def opened(self, backend: str, *, seconds: float, pause: float, why: str, trial: bool) -> int:
        """The circuit was opened here, by the trial that was ours (`trial`) or without one: its new version.

        0: it was open already by another host's word, which stays.
        """
        ...

    async def closed(self, backend: str, version: int) -> int:
        """A trial went well: the new version; 0: it was neither ours to make nor is the circuit still of `version`."""
        ...

    async def claim(self, backend: str, seconds: float) -> bool:
        """Whether the trial is this host's for so long; at most one host's at a time."""
        ...

    async def give_back(self, backend: str) -> None:
        """The trial is this host's no more, and said nothing."""
        ...

    async def doubt(self, backend: str, reason: str, seconds: float) -> None:
        """What this host's prober says holds for so long; 0: no more."""
        ...
