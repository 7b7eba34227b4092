"""How is a host examined that is not this one? By what its programs and files were recorded to say."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Generic, TypeVar

from gateway.cli.doctor.finding import Finding, Level, Subject
from gateway.cli.doctor.host import Answer, KernelClock, Room

Facts = TypeVar("Facts")
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@dataclass
class RecordedHost:
    """A `Host`.

    Args:
        programs: what each says, by the beginning of its command line; the longest one counts, others are not there.
        files: texts by path.
        rooms: free bytes by path; each is a file system of its own, unless `device` says that all are one.
        addresses: this host's.
        variables: its environment.
    """

    programs: Mapping[str, Answer | str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    rooms: Mapping[str, Room] = field(default_factory=dict)
    addresses: frozenset[str] = frozenset({"0.0.0.0", "::"})  # noqa: S104 -- each host's own
    variables: Mapping[str, str] = field(default_factory=dict)
    served: bytes | None = None
    kernel: KernelClock | None = None

    def run(self, *command: str) -> Answer:
        line = " ".join(command)
        known = [said for said in self.programs if line.startswith(said)]
        if not known:
            return Answer(None, err=f"there is no {command[0]} here")
        said = self.programs[max(known, key=len)]
        return Answer(0, said) if isinstance(said, str) else said

    def text(self, path: str) -> str | None:
        return self.files.get(path)

    def room(self, path: Path) -> Room | None:
        return self.rooms.get(str(path))

    def has_address(self, address: str) -> bool:
        return address in self.addresses

    def certificate(self, address: str, port: int) -> bytes | None:
        del address, port
        return self.served

    def environment(self) -> Mapping[str, str]:
        return self.variables

    def clock(self) -> KernelClock | None:
        return self.kernel

    def now(self) -> datetime:
        return NOW


def findings(subject: Subject[Facts], check: str, facts: Facts) -> list[Finding]:
    """All that one check of a subject says."""
    (row,) = [row for row in subject.checks if row.name == check]
    return list(row.judge(facts))


def fault(subject: Subject[Facts], check: str, facts: Facts) -> Finding:
    """The one thing that a check has to say against these facts."""
    (found,) = [one for one in findings(subject, check, facts) if one.level is not Level.OK]
    return found


@dataclass(frozen=True)
class Row(Generic[Facts]):
    """Facts with one fault, and what is to be said of it."""

    check: str
    facts: Facts
    level: Level
    seen: str
    mend: str = ""

    def __str__(self) -> str:
        return f"{self.check}: {self.seen}"

    def holds(self, subject: Subject[Facts]) -> None:
        """The check says it, with what it means and what mends it."""
        found = fault(subject, self.check, self.facts)
        assert found.level is self.level
        assert self.seen in found.seen
        assert self.mend in found.mend
        assert found.mend or found.level is Level.NOTE
        assert found.means or found.level is Level.NOTE


def every_check_has_a_fault(subject: Subject[Facts], clean: Facts, rows: Iterable[Row[Facts]]) -> None:
    """No check is without a row, and none has anything to say where all is well."""
    assert {row.name for row in subject.checks} == {row.check for row in rows}
    assert [one for check in subject.checks for one in check.judge(clean) if one.level is not Level.OK] == []
