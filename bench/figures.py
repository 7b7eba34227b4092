"""Which figures does a window give? Rates, times and costs, under the names that the table shows."""

from collections.abc import Callable

from bench.accounting import KIB
from bench.windows import Load, Window

Figures = dict[str, float | None]
"""By the row's name in the table. None: there is no such figure here."""


def of_window(load: Load, window: Window) -> Figures:
    """What is reported of a timed window."""
    rows = _STREAM_ROWS if load.stream else _ALIKE_ROWS if load.alike else _JSON_ROWS
    figures = {f"{load.name}: {name}": figure(window) for name, figure in rows.items()}
    if load.due_per_s:
        figures[f"{load.name}: delivered %"] = 100 * float(window.load["events_per_s"]) / load.due_per_s
    return figures


def of_crowd(load: Load, grown_mib: float | None) -> Figures:
    """What is reported besides of a peer's memory, which `load` has let grow by so much."""
    return {f"{load.name}: memory KiB/stream": None if grown_mib is None else grown_mib * KIB / load.connections}


def added(figures: Figures) -> Figures:
    """What a large body costs more than a small one."""
    small, large = (figures.get(f"chat body {size}: CPU us/request") for size in ("500 B", "500 KB"))
    return {"chat body 500 KB: extra CPU ms": (large - small) / 1e3} if large is not None and small is not None else {}


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
_ALIKE_ROWS = {**_JSON_ROWS, "CPU us/request": lambda window: _per(window.cpu_ns, int(window.load["ok"]), 1e3)}
_STREAM_ROWS: dict[str, Callable[[Window], float | None]] = {
    "events/s": lambda window: float(window.load["events_per_s"]),
    "first event p50 ms": _quantile("first_event", "p50"),
    "lag p99 ms": _quantile("lag", "p99"),
    "CPU us/event": lambda window: _per(window.cpu_ns, window.events, 1e3),
}
