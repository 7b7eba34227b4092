"""What does the doctor say? A finding of a check, and the check as a row of its subject's table."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, NamedTuple, TypeVar

from gateway.cli.doctor.host import Host
from gateway.cli.doctor.site import Site

Facts = TypeVar("Facts")


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    NOTE = "note"
    """Nothing to mend, but good to know, or not looked at."""
    WARNING = "warning"
    """It starts, and something will be worse than it should."""
    ERROR = "error"
    """The stack does not start, or does not do what it is for."""


class Finding(NamedTuple):
    """What one check saw.

    Attributes:
        seen: what is so on this host; never a secret.
        means: what comes of it.
        mend: a command, or what to write where; nothing where all is well.
    """

    level: Level
    seen: str
    means: str = ""
    mend: str = ""


class Check(NamedTuple, Generic[Facts]):
    """One question about a subject: a pure function of the facts that were gathered."""

    name: str
    judge: Callable[[Facts], Iterable[Finding]]


class Found(NamedTuple):
    """A finding, and whose it is."""

    subject: str
    check: str
    finding: Finding


@dataclass(frozen=True, slots=True)
class Subject(Generic[Facts]):
    """What is looked at together.

    Args:
        gather: asks the host for the facts; it judges nothing, and raises nothing that a host may bring about.
        needs_gpus: whether there is nothing to look at where the simulator stands in for vLLM.
    """

    name: str
    gather: Callable[[Host, Site], Facts]
    checks: tuple[Check[Facts], ...]
    needs_gpus: bool = False

    def look(self, host: Host, site: Site) -> Iterator[Found]:
        """All findings; a check that has nothing to say is left out."""
        facts = self.gather(host, site)
        for check in self.checks:
            for finding in check.judge(facts):
                yield Found(self.name, check.name, finding)


def ok(seen: str) -> Finding:
    """All is well."""
    return Finding(Level.OK, seen)


def note(seen: str, means: str = "", mend: str = "") -> Finding:
    """Good to know."""
    return Finding(Level.NOTE, seen, means, mend)


def warning(seen: str, means: str, mend: str) -> Finding:
    """Worse than it should be."""
    return Finding(Level.WARNING, seen, means, mend)


def error(seen: str, means: str, mend: str) -> Finding:
    """It will not do."""
    return Finding(Level.ERROR, seen, means, mend)
