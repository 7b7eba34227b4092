"""Which figures does a repetition give? The plan of its windows, and what each of them amounts to."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.windows import Load, Window

Figures = dict[str, float | None]
"""By the row's name in the table. None: there is no such figure here."""


@dataclass(frozen=True)
class Plan:
    """The windows of one repetition.

    Args:
        warm_up: before all others; not reported.
        timed: their rates, times and CPU are reported.
        counted: those of which the instructions are counted, in windows of their own.
    """

    warm_up: Load
    timed: Sequence[Load]
    counted: Sequence[Load]


FULL = Plan(
    warm_up=Load("warm-up", 16, 1.0, warm_up=0),
    timed=(
        Load("JSON c=1", 1, 2.0),
        Load("JSON c=32", 32, 3.0),
        Load("JSON c=256", 256, 3.0),
        Load("SSE burst c=32", 32, 4.0, stream=True),
        Load("SSE paced c=200", 200, 6.0, warm_up=1.5, stream=True, delay_ms=20, ramp_ms=1280),
    ),
    counted=(
        Load("JSON c=32", 32, 1.0),
        Load("SSE burst c=32", 32, 1.0, stream=True),
        Load("SSE paced c=200", 200, 1.5, warm_up=1.5, stream=True, delay_ms=20, ramp_ms=1280),
    ),
)
QUICK = Plan(
    warm_up=Load("warm-up", 4, 0.1, warm_up=0),
    timed=(
        Load("JSON c=1", 1, 0.2, warm_up=0),
        Load("JSON c=8", 8, 0.2, warm_up=0.1),
        Load("SSE burst c=8", 8, 0.2, warm_up=0.1, stream=True),
        Load("SSE paced c=10", 10, 0.8, warm_up=0, stream=True, delay_ms=5),
    ),
    counted=(Load("JSON c=8", 8, 0.2, warm_up=0.1),),
)
"""Shows in seconds that all of it works; its figures mean little."""


def of_window(load: Load, window: Window) -> Figures:
    """What is reported of a timed window."""
    rows = _STREAM_ROWS if load.stream else _JSON_ROWS
    return {f"{load.name}: {name}": figure(window) for name, figure in rows.items()}


def of_counted(load: Load, window: Window | None) -> Figures:
    """What is reported of a counted window; None: it could not be counted."""
    name = f"{load.name}: k instructions/{'event' if load.stream else 'request'}"
    if window is None:
        return {name: None}
    return {name: _per(window.instructions, window.events if load.stream else window.answers, 1e3)}


def failures(window: Window) -> int:
    """Answers that were not as they should be."""
    return int(window.load["errors"]) + int(window.load["non200"])


def _per(total: int | None, count: int, unit: float) -> float | None:
    return total / count / unit if total is not None and count else None


def _quantile(kind: str, quantile: str) -> Callable[[Window], float | None]:
    """A time in ms; sseload says -1 where there is no sample."""

    def figure(window: Window) -> float | None:
        value = float(window.load[f"{kind}_ms"][quantile])
        return value if value >= 0 else None

    return figure


_JSON_ROWS: dict[str, Callable[[Window], float | None]] = {
    "requests/s": lambda window: float(window.load["rps"]),
    "p50 ms": _quantile("total", "p50"),
    "p99 ms": _quantile("total", "p99"),
    "CPU us/request": lambda window: _per(window.cpu_ns, window.answers, 1e3),
}
_STREAM_ROWS: dict[str, Callable[[Window], float | None]] = {
    "events/s": lambda window: float(window.load["events_per_s"]),
    "first event p50 ms": _quantile("first_event", "p50"),
    "lag p99 ms": _quantile("lag", "p99"),
    "CPU us/event": lambda window: _per(window.cpu_ns, window.events, 1e3),
}
