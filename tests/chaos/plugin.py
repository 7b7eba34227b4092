"""How did each row do? A pytest plugin that gathers the tests' outcomes by row, prints the table and fails on gaps.

`python -m tests.chaos` loads it and hands it the rows' tests. A row without a result is a failure, and a skipped one is
where CI is set; elsewhere the table says that it was skipped.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import pytest

from tests.chaos.row import Row, Section
from tests.chaos.rows import SECTIONS

NAME = "chaos-table"
MAX_CASE = 78
"""Characters of a case in the table."""

FAILED, MISSING, SKIPPED, HELD, LATER = "FAILED", "NOT RUN", "skipped", "held", "not yet"


@dataclass(slots=True)
class Result:
    """What is known of one test function, all its parameters together."""

    runs: int = 0
    skipped: int = 0
    failed: bool = False
    seconds: float = 0.0

    def add(self, report: pytest.TestReport) -> None:
        """Take in the report of one phase of one run."""
        self.seconds += report.duration
        self.failed |= report.failed
        self.skipped += report.skipped
        self.runs += report.when == "call" or (report.when == "setup" and not report.passed)


@dataclass(frozen=True, slots=True)
class Line:
    """A row's line in the table."""

    case: str
    tests: int
    verdict: str
    seconds: float


def line(row: Row, results: Mapping[str, Result]) -> Line:
    """What the results say of a row."""
    if row.later:
        return Line(f"{row.case} ({row.later})", 0, LATER, 0.0)
    found = [results.get(test, Result()) for test in row.tests]
    runs, seconds = sum(result.runs for result in found), sum(result.seconds for result in found)
    return Line(row.case, runs, _verdict(found), seconds)


def _verdict(found: Iterable[Result]) -> str:
    """Of several tests the worst counts; one that was skipped in all its runs is as good as not there."""
    results = list(found)
    checks: tuple[tuple[str, Callable[[Result], bool]], ...] = (
        (FAILED, lambda result: result.failed),
        (MISSING, lambda result: result.runs == 0),
        (SKIPPED, lambda result: result.skipped > 0),
    )
    return next((verdict for verdict, applies in checks if any(map(applies, results))), HELD)


class Table:
    """The plugin."""

    def __init__(self, sections: tuple[Section, ...]) -> None:
        self._sections = sections
        self._results: dict[str, Result] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note what one phase of a test came to; under xdist the reports of all processes come here."""
        name = report.nodeid.partition("[")[0].removeprefix("tests/")
        self._results.setdefault(name, Result()).add(report)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """A gap is a failure, also where every test that did run has passed."""
        gaps = {FAILED, MISSING, SKIPPED} if _is_ci() else {FAILED, MISSING}
        if session.exitstatus == pytest.ExitCode.OK and any(shown.verdict in gaps for shown in self._lines()):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the table."""
        lines = dict.fromkeys((HELD, SKIPPED, LATER, MISSING, FAILED), 0)
        for section in self._sections:
            terminalreporter.section(section.title, sep="-")
            for row in section.rows:
                shown = line(row, self._results)
                lines[shown.verdict] += 1
                terminalreporter.write_line(_text(shown), red=shown.verdict in (FAILED, MISSING))
        count = ", ".join(f"{number} {verdict}" for verdict, number in lines.items() if number)
        terminalreporter.section(f"rows: {count}", sep="-")

    def _lines(self) -> list[Line]:
        return [line(row, self._results) for section in self._sections for row in section.rows]


def pytest_configure(config: pytest.Config) -> None:
    """Gather in the process that prints alone: xdist's workers report to it."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Table(SECTIONS), NAME)


def _text(shown: Line) -> str:
    case = shown.case if len(shown.case) <= MAX_CASE else f"{shown.case[: MAX_CASE - 3]}..."
    if shown.verdict == LATER:
        return f"{LATER:<8} {'':>9} {'':>7}  {case}"
    return f"{shown.verdict:<8} {shown.tests:>3} tests {shown.seconds:>6.1f}s  {case}"


def _is_ci() -> bool:
    return os.environ.get("CI", "").lower() in {"1", "true"}  # noqa: TID251 -- the switch that all CI systems set
