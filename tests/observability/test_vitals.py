"""A process says of itself what it uses, and a worker how its loop and its connections are."""

import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.observability import vitals
from gateway.observability.build import gateway_version, tell_build
from gateway.observability.metrics import Metrics
from gateway.observability.page import PageReader, create_page
from gateway.observability.vitals import CONTROL, ProcessFigures, WorkerFigures


@pytest.fixture
def page() -> Iterator[int]:
    descriptor = create_page()
    yield descriptor
    os.close(descriptor)


def figures(page: int) -> dict[tuple[str, ...], float]:
    return {(series.family, *series.labels): series.values[0] for series in PageReader(page).read()}


def test_what_a_process_uses_is_what_the_kernel_says(page: int) -> None:
    own = ProcessFigures(Metrics(page), CONTROL)
    before = time.process_time()
    for _ in range(2):
        own.beat()
    spent = figures(page)["gateway_process_cpu_seconds", CONTROL]
    assert before <= spent <= time.process_time()
    resident = figures(page)["gateway_process_resident_bytes", CONTROL]
    (line,) = (one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith("VmRSS"))
    assert resident == pytest.approx(int(line.split()[1]) * 1024, rel=0.2)


def test_where_no_descriptor_is_left_the_memory_before_stays_shown(page: int, monkeypatch: pytest.MonkeyPatch) -> None:
    own = ProcessFigures(Metrics(page), CONTROL)
    own.beat()
    before = figures(page)["gateway_process_resident_bytes", CONTROL]
    monkeypatch.setattr(vitals, "STATM", Path("/nowhere/statm"))
    own.beat()
    assert figures(page)["gateway_process_resident_bytes", CONTROL] == before > 0


def test_a_worker_shows_its_lateness_and_its_connections_of_now(page: int) -> None:
    upstream = (5, 2, 0)
    worker = WorkerFigures(Metrics(page), lambda: upstream)
    worker.beat(0.25, 7)
    upstream = (3, 3, 1)
    worker.beat(1.0, 4)
    seen = figures(page)
    assert seen["gateway_event_loop_lag_seconds",] == 1.25
    sides = {labels[0]: value for (family, *labels), value in seen.items() if family == "gateway_open_connections"}
    assert sides == {"client": 4, "upstream_busy": 0, "upstream_idle": 3}
    (lags,) = (series.values for series in PageReader(page).read() if series.family == "gateway_event_loop_lag_seconds")
    assert sum(lags[1:]) == 2


def test_the_build_is_that_of_the_installed_package(page: int, monkeypatch: pytest.MonkeyPatch) -> None:
    tell_build(Metrics(page), 1_900_000_000.0)
    python = platform.python_version()
    assert figures(page)["gateway_build_info", gateway_version(), python] == 1
    assert figures(page)["gateway_start_time_seconds",] == 1_900_000_000
    assert gateway_version()[0].isdigit()
    monkeypatch.setattr("gateway.observability.build.DISTRIBUTION", "no-such-distribution")
    assert gateway_version() == "unknown"
