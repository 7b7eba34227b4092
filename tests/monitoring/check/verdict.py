"""Has everything that is asked an answer? A verdict for each question, and for each row of what is elsewhere."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from tests.monitoring.check.promql import metrics, selectors
from tests.monitoring.check.questions import Question


class Verdict(StrEnum):
    """What came of a question."""

    DATA = "data"
    ELSEWHERE = "elsewhere"
    """None, as it must be: it asks for what there is not here."""
    NOTHING = "NO DATA"
    REFUSED = "REFUSED"
    """Prometheus does not take the query."""
    SURPRISE = "DATA AFTER ALL"
    """It asks for what is said not to be here, and that is here."""


GOOD = (Verdict.DATA, Verdict.ELSEWHERE)


@dataclass(frozen=True, slots=True)
class Answer:
    """A question and what came of it.

    Args:
        series: how many series there were at some time of the run.
        said: why there is no data here, or Prometheus' own words.
    """

    question: Question
    verdict: Verdict
    series: int = 0
    said: str = ""


Ask = Callable[[str], int]
"""Gives the number of a query's series within the run; ValueError for one that Prometheus does not take."""


def judge(questions: Iterable[Question], ask: Ask, elsewhere: Mapping[str, str]) -> list[Answer]:
    """The answer to each question; each query is asked once, however often it stands somewhere."""
    known: dict[str, int | ValueError] = {}

    def once(query: str) -> int | ValueError:
        if query not in known:
            try:
                known[query] = ask(query)
            except ValueError as error:
                known[query] = error
        return known[query]

    return [_judge(question, once(question.query), elsewhere) for question in questions]


def _judge(question: Question, found: int | ValueError, elsewhere: Mapping[str, str]) -> Answer:
    if isinstance(found, ValueError):
        return Answer(question, Verdict.REFUSED, said=str(found))
    away = [row for selector in selectors(question.query) for row in _rows(selector) if row in elsewhere]
    if not away:
        return Answer(question, Verdict.DATA if found else Verdict.NOTHING, found)
    why = elsewhere[away[0]]
    if not found:
        return Answer(question, Verdict.ELSEWHERE, said=f"needs {why}")
    # Beside what is not here, a query may ask for what is: only a metric by itself tells that the row is not true.
    alone = all(elsewhere.keys() & _rows(selector) for selector in selectors(question.query))
    return Answer(question, Verdict.SURPRISE if alone else Verdict.DATA, found, f"is said to need {why}")


def unasked(answers: Sequence[Answer], elsewhere: Mapping[str, str]) -> list[str]:
    """Rows of what is elsewhere that nothing asks for any more."""
    wanted = {row for answer in answers for selector in selectors(answer.question.query) for row in _rows(selector)}
    return sorted(elsewhere.keys() - wanted)


def _rows(selector: str) -> set[str]:
    """By which rows of what is elsewhere it may be meant: its own, or its metric's."""
    return {selector, *metrics(selector)}


def table(answers: Sequence[Answer]) -> list[str]:
    """A line for each panel, alert and record, the worst of its questions deciding, and one for each that failed."""
    by_place: dict[str, list[Answer]] = {}
    for answer in answers:
        by_place.setdefault(answer.question.where, []).append(answer)
    lines = []
    for where, found in by_place.items():
        worst = max((answer.verdict for answer in found), key=list(Verdict).index)
        reasons = {answer.said for answer in found if answer.verdict is Verdict.ELSEWHERE}
        lines.append(
            f"{where:<86} {max(answer.series for answer in found):>4} series  {worst:<14} {'; '.join(reasons)}"
        )
        lines += [
            f"    {answer.verdict}: {answer.question.what}: {answer.question.query} {answer.said}"
            for answer in found
            if answer.verdict not in GOOD
        ]
    return [line.rstrip() for line in lines]
