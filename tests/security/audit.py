"""Does anybody know of a hole in what is pinned? `make audit`: pip-audit asks, for every lock file.

It ends with 1 where something was found, and with 0 where nothing was, or where nobody could be asked: no network is no
finding, and must stop no build. What could not be asked is told.
"""

import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ROOT / "requirements"
ASK_SECS = 300.0


class Hole(msgspec.Struct):
    """A vulnerability, as pip-audit tells it."""

    id: str
    fix_versions: list[str] = []


class Package(msgspec.Struct):
    """A package that was asked about, or could not be: then `skip_reason` says why."""

    name: str
    version: str = ""
    vulns: list[Hole] = []
    skip_reason: str = ""


class Report(msgspec.Struct):
    """What pip-audit writes as JSON."""

    dependencies: list[Package]


class Verdict(NamedTuple):
    """What came of one lock file: lines to be read, and whether a hole was found."""

    lines: list[str]
    found: bool


def verdict(lock: str, written: str, complaint: str) -> Verdict:
    """What pip-audit's output amounts to.

    Args:
        lock: the file's name.
        written: its standard output, JSON where it could ask.
        complaint: its standard error, of which the last line says why it could not.
    """
    try:
        report = msgspec.json.decode(written, type=Report)
    except msgspec.DecodeError:
        reason = complaint.strip().rpartition("\n")[2] or "it said nothing"
        return Verdict([f"{lock}: not audited, as nobody could be asked: {reason}"], found=False)
    holes = list(_told(report.dependencies))
    skipped = [package.name for package in report.dependencies if package.skip_reason]
    if len(skipped) == len(report.dependencies):  # a mirror has packages, and no word on them
        return Verdict([f"{lock}: not audited, as nobody knows any of its {len(skipped)} packages"], found=False)
    unasked = f", {len(skipped)} of them unknown there ({', '.join(skipped)})" if skipped else ""
    counted = f"{lock}: {len(report.dependencies)} packages{unasked}, {len(holes) or 'no'} known holes"
    return Verdict([counted, *(f"  {hole}" for hole in holes)], found=bool(holes))


def _told(packages: Iterable[Package]) -> Iterator[str]:
    for package in packages:
        for hole in package.vulns:
            mended = f"mended in {', '.join(hole.fix_versions)}" if hole.fix_versions else "not mended yet"
            yield f"{package.name} {package.version}: {hole.id}, {mended}"


def ask(lock: Path) -> Verdict:
    """Ask about one lock file; nothing is installed, and nothing is resolved anew."""
    options = ("--require-hashes", "--disable-pip", "--no-deps", "--progress-spinner", "off", "--format", "json")
    try:
        done = subprocess.run(  # noqa: S603 -- our own file
            [sys.executable, "-m", "pip_audit", *options, "--requirement", str(lock)],
            capture_output=True,
            text=True,
            check=False,
            timeout=ASK_SECS,
        )
    except subprocess.TimeoutExpired:
        return verdict(lock.name, "", f"no answer within {ASK_SECS:g} s")
    return verdict(lock.name, done.stdout, done.stderr)


def main() -> int:
    """Ask about all of them; the exit status."""
    verdicts = [ask(lock) for lock in sorted(LOCKS.glob("*.lock"))]
    for line in (line for one in verdicts for line in one.lines):
        print(line)  # noqa: T201 -- a command
    return int(any(one.found for one in verdicts))


if __name__ == "__main__":
    sys.exit(main())
