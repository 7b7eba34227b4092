"""Spans reach the collector, or are counted as dropped, each once; nobody waits for it."""

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import SpanContext, TraceFlags

import gateway.tracing.exporting
from gateway.tracing.exporting import BATCH, MAX_WAITING, SpanQueue
from tests.support.gateway import wait_until


class Collecting(SpanExporter):
    """Takes what comes, while it may.

    Attributes:
        takes: whether it succeeds.
        open: cleared, it takes its time.
        batches: how many spans came at once.
    """

    def __init__(self) -> None:
        self.takes = True
        self.open = threading.Event()
        self.open.set()
        self.batches: list[int] = []
        self.closed = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.batches.append(len(spans))
        self.open.wait()
        if self.takes:
            return SpanExportResult.SUCCESS
        logging.getLogger("opentelemetry.exporter.a_library").error("Failed to export %s", "spans")
        return SpanExportResult.FAILURE

    def shutdown(self) -> None:
        self.closed = True


class Log:
    """What was said."""

    def __init__(self) -> None:
        self.said: list[tuple[str, dict[str, Any]]] = []

    def info(self, event: str, /, **fields: object) -> None:
        self.said.append((event, fields))

    warning = exception = info


class Counted:
    """A queue, and what it has counted."""

    def __init__(self) -> None:
        self.exporter = Collecting()
        self.log = Log()
        self.exported = self.dropped = 0
        self.queue = SpanQueue(self.exporter, self._export, self._drop, self.log)

    def put(self, count: int) -> None:
        self.queue.put([span()] * count)

    def has_dropped(self, count: int) -> bool:
        return self.dropped == count

    def _export(self, count: int) -> None:
        self.exported += count

    def _drop(self, count: int) -> None:
        self.dropped += count


def span() -> ReadableSpan:
    return ReadableSpan(
        "one", SpanContext(1, 1, is_remote=False, trace_flags=TraceFlags(1)), resource=Resource({}), start_time=1
    )


@contextmanager
def counted() -> Iterator[Counted]:
    it = Counted()
    try:
        yield it
    finally:
        it.exporter.open.set()
        it.queue.close()


def test_what_comes_is_exported_in_batches_and_counted() -> None:
    with counted() as it:
        it.put(BATCH - 1)
        it.put(3)
        wait_until(lambda: it.exported == BATCH + 2)
    assert max(it.exporter.batches) <= BATCH
    assert (it.exported, it.dropped) == (BATCH + 2, 0)
    assert it.exporter.closed


def test_few_spans_do_not_wait_for_more() -> None:
    with counted() as it:
        it.put(1)
        wait_until(lambda: it.exported == 1)


def test_beyond_what_may_wait_whole_requests_are_dropped_and_nobody_waits() -> None:
    with counted() as it:
        it.exporter.open.clear()
        it.put(BATCH)
        wait_until(lambda: it.exporter.batches)
        for _ in range(MAX_WAITING // 4):
            it.put(4)
        it.put(4)
        assert it.dropped == 4
        it.exporter.open.set()
        wait_until(lambda: it.exported == BATCH + MAX_WAITING)
        it.put(4)
        wait_until(lambda: it.exported == BATCH + MAX_WAITING + 4)
        assert it.dropped == 4
        assert it.log.said == []


def test_a_collector_that_takes_nothing_is_said_once_and_again_when_it_does(caplog: pytest.LogCaptureFixture) -> None:
    with counted() as it:
        it.exporter.takes = False
        for number in range(1, 4):
            it.put(BATCH)
            wait_until(partial(it.has_dropped, number * BATCH))
        it.exporter.takes = True
        it.put(1)
        wait_until(lambda: len(it.log.said) == 2)
        assert it.log.said == [
            ("traces_not_taken", {"reason": "Failed to export spans"}),
            ("traces_taken_again", {}),
        ]
        assert (it.exported, it.dropped) == (1, 3 * BATCH)
    assert caplog.records == []
    logging.getLogger("opentelemetry").warning("afterwards the library speaks for itself")
    assert len(caplog.records) == 1


def test_a_queue_that_ends_exports_what_is_left() -> None:
    with counted() as it:
        it.put(2 * BATCH - 1)
        it.queue.close()
        assert (it.exported, it.dropped) == (2 * BATCH - 1, 0)


def test_a_collector_that_is_silent_holds_nobodys_end_up_and_what_it_has_is_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gateway.tracing.exporting, "CLOSE_SECS", 0.05)
    with counted() as it:
        it.exporter.open.clear()
        it.put(BATCH + 5)
        it.queue.close()
        assert not it.exporter.closed, "the library has not waited for its batch yet"
        assert (it.exported, it.dropped) == (0, BATCH + 5)
        it.exporter.open.set()
    assert (it.exported, it.dropped) == (0, BATCH + 5), "what was counted as dropped is not counted again"
