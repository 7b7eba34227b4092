"""What is shown of backends is of those that there are, in all of it, and finds room however many there are."""

import pytest

from gateway.backends.board_layout import BACKENDS
from gateway.backends.circuit import Standing
from gateway.backends.figures import BackendFigures
from gateway.backends.health import BackendHealth, State
from gateway.backends.probed import Probed
from gateway.backends.reasons import Reason
from gateway.core.fleet import Backend
from gateway.observability.families.backends import BACKEND_LIMIT, BACKEND_STATE
from gateway.observability.families.catalogue import CATALOGUE
from gateway.observability.families.family import Kind
from tests.observability.noted import CountedMetrics

GAUGES = {family.name for family in CATALOGUE if family.kind is Kind.GAUGE and "backend" in family.labels}
WELL = BackendHealth(State.HEALTHY, Reason.OK, 0.0, latency=0.012345678901234567, running=123, waiting=1234)


def seen(figures: BackendFigures, *names: str) -> None:
    """Each of them is probed and looked at."""
    for name in names:
        backend = Backend(name, f"http://{name}:8000")
        figures.take(Probed(backend, WELL, WELL, ours=100))
        figures.look(name, Standing.CLOSED, 100)
    figures.show()


def shown(metrics: CountedMetrics) -> dict[str, set[str]]:
    """Which gauges there are, by their backend."""
    found: dict[str, set[str]] = {}
    for one in metrics.series():
        if one.family in GAUGES:
            found.setdefault(one.labels[0], set()).add(one.family)
    return found


def test_a_full_board_of_the_longest_names_finds_room() -> None:
    metrics = CountedMetrics()
    names = [f"{number:064}" for number in range(BACKENDS)]
    seen(BackendFigures(metrics, limit=1000), *names)
    assert shown(metrics) == dict.fromkeys(names, GAUGES)
    assert metrics.counted.get(("gateway_metric_updates_lost",)) is None


def test_models_that_come_and_go_for_years_leave_room_for_the_next() -> None:
    metrics = CountedMetrics()
    figures = BackendFigures(metrics)
    for number in range(400):
        seen(figures, "chat0", f"guest{number}")
        figures.keep({"chat0"})
    seen(figures, "chat0", "newest")
    assert set(shown(metrics)) == {"chat0", "newest"}
    assert metrics.counted[BACKEND_STATE.name, "newest", "healthy"] == 1
    assert metrics.counted.get(("gateway_metric_updates_lost",)) is None


@pytest.mark.parametrize(("limit", "expected"), [(0, None), (7, 7)])
def test_a_limit_is_shown_where_there_is_one(limit: int, expected: int | None) -> None:
    metrics = CountedMetrics()
    seen(BackendFigures(metrics, limit), "chat0")
    assert metrics.counted.get((BACKEND_LIMIT.name, "chat0")) == expected


def test_what_is_forgotten_is_shown_no_more() -> None:
    metrics = CountedMetrics()
    figures = BackendFigures(metrics)
    seen(figures, "chat0")
    figures.clear()
    assert shown(metrics) == {}
