"""What runs where? The gateway on a core of its own, load and mock on another, and the harness out of their way."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

URGENT = -20
"""The nice value of what is measured and of what measures: other work on the machine waits. Needs the right to it."""


@dataclass(frozen=True)
class Cores:
    """A set of cores for each part; an empty set: wherever the kernel likes."""

    gateway: frozenset[int]
    load: frozenset[int]
    harness: frozenset[int]
    warning: str = ""

    @property
    def several(self) -> frozenset[int]:
        """Where more than one worker runs: every core but the load's, the harness's among them."""
        return self.gateway | (self.harness - self.load)


def divide(available: Sequence[int]) -> Cores:
    """Give each part its cores; says in `warning` what a small machine spoils."""
    if len(available) == 1:
        return Cores(
            frozenset(), frozenset(), frozenset(), "one core: load and gateway share it, and no figure means much"
        )
    gateway, load, *rest = sorted(available)
    if rest:
        return Cores(frozenset({gateway}), frozenset({load}), frozenset(rest))
    return Cores(
        frozenset({gateway}),
        frozenset({load}),
        frozenset({load}),
        "two cores: the harness runs on the load's, and the rest of the machine on both",
    )


def available() -> list[int]:
    """The cores that this process may use."""
    return sorted(os.sched_getaffinity(0))


@contextmanager
def pinned(cores: frozenset[int]) -> Iterator[None]:
    """Children that are started in this scope run on `cores`, and so does whatever they start."""
    before = os.sched_getaffinity(0)
    if cores:
        os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def hurry(pid: int) -> None:
    """Let a process that was just started go before all others, where that is allowed."""
    with suppress(PermissionError, ProcessLookupError):
        os.setpriority(os.PRIO_PROCESS, pid, URGENT)


def model_name() -> str:
    """What the processor calls itself."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")
