"""How is it looked at? The stack under load, its troubles, and a Prometheus that sees all of it; then the questions."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvloop

from tests.monitoring.check import grafana
from tests.monitoring.check.elsewhere import ELSEWHERE
from tests.monitoring.check.house import House, built
from tests.monitoring.check.load import ask_on_and_on
from tests.monitoring.check.questions import DASHBOARDS, WHOLE, Question, of_choices, of_dashboards, of_rules
from tests.monitoring.check.scenes import play
from tests.monitoring.check.server import Prometheus, find
from tests.monitoring.check.verdict import Answer, Verdict, judge


@dataclass(frozen=True, slots=True)
class Run:
    """What Prometheus has of a run.

    Args:
        start: seconds since 1970, as is `end`.
    """

    prometheus: Prometheus
    start: float
    end: float

    @property
    def span(self) -> float:
        """Seconds."""
        return self.end - self.start

    def series(self, query: str) -> int:
        """How many series a query has at some time of the run.

        Raises:
            ValueError: Prometheus does not take the query.
        """
        return len(self.prometheus.course(query, self.start, self.end))

    def values(self) -> dict[grafana.Choice, list[str]]:
        """What each variable of each dashboard offers."""
        found = {choice for board in grafana.boards(DASHBOARDS) for choice in grafana.choices(board)}
        return {one: self.prometheus.values(one.metric, one.label, self.start, self.end) for one in found}


@contextmanager
def watched(folder: Path) -> Iterator[Run]:
    """A run that is over, and the Prometheus that has seen it; files go to the folder.

    Raises:
        MissingError: Prometheus is not installed.
    """
    find()  # before a house is built for it
    with built(folder) as house, Prometheus(folder, house.targets()) as prometheus:
        start = time.time()  # noqa: TID251 -- Prometheus tells the time of day
        uvloop.run(_storm(house))
        yield Run(prometheus, start, time.time())  # noqa: TID251 -- the same


def questioned(run: Run, elsewhere: Mapping[str, str] = ELSEWHERE) -> list[Answer]:
    """Everything that is ever asked, asked."""
    asked = [*of_dashboards(run.span), *of_choices(run.values(), run.span), *of_rules()]
    return judge(asked, run.series, elsewhere)


def is_blind(run: Run) -> bool:
    """Whether a misspelt metric would not be noticed: one of the dashboards' own, with a letter too many."""
    (question, *_) = (one for one in of_dashboards(run.span) if one.what != WHOLE)
    misspelt = Question(question.where, question.what, question.what.replace("_", "_s", 1))
    return judge([misspelt], run.series, {})[0].verdict is not Verdict.NOTHING


async def _storm(house: House) -> None:
    """The load, and what happens meanwhile."""
    over = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(ask_on_and_on(house, over))
        await play(house, over)
        over.set()
