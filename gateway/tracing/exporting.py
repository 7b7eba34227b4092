"""How do spans reach the collector? Through a bounded queue and a thread, so that a slow collector slows nobody."""

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Final

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from gateway.core.events import EventLog

MAX_WAITING: Final = 4096
"""Spans that wait for a collector, about 3 kB each; more of them are dropped."""
BATCH: Final = 128
"""Spans in one request to the collector: to write down so many holds the interpreter for some milliseconds at once."""
GATHER_MS: Final = 1000.0
"""How long spans are gathered where fewer come."""
CLOSE_SECS: Final = 2.0
"""How long a worker that ends waits for what is left to be taken."""

Count = Callable[[int], None]
"""Told of so many spans."""


class SpanQueue:
    """What waits for the collector.

    The library's own queue drops the oldest span when it is full, with a line of log for each: it is never full here.

    Args:
        exporter: sends batches, from the queue's own thread.
        on_exported: told of spans that were taken, in that thread.
        on_dropped: told of spans that were given up, in either thread, never in both at once.
        log: told when the collector takes nothing, and when it does again.
    """

    def __init__(self, exporter: SpanExporter, on_exported: Count, on_dropped: Count, log: EventLog) -> None:
        self._on_exported = on_exported
        self._on_dropped = on_dropped
        self._log = log
        self._handed = 0
        """Spans that came in; written by the loop's thread alone, as the next one by the queue's."""
        self._taken = 0
        self._alone = threading.Lock()
        self._done = 0
        """Spans that are counted as exported or dropped after they were handed in; guarded, as the next one."""
        self._closed = False
        self._failing = False
        self._words = _LastWords()
        self._processor = BatchSpanProcessor(
            _Watched(exporter, self._take, self._tell),
            max_queue_size=MAX_WAITING,
            schedule_delay_millis=GATHER_MS,
            max_export_batch_size=BATCH,
        )

    def put(self, spans: Sequence[ReadableSpan]) -> None:
        """Have them exported, all of them or, where there is no room, none; never waits."""
        if self._handed - self._taken + len(spans) > MAX_WAITING:
            with self._alone:
                self._on_dropped(len(spans))
            return
        self._handed += len(spans)
        for span in spans:
            self._processor.on_end(span)

    def close(self) -> None:
        """Export what is left, for CLOSE_SECS at the most; the rest is dropped. The second call does nothing."""
        closing = threading.Thread(target=self._processor.shutdown, name="traces-close", daemon=True)
        closing.start()
        closing.join(CLOSE_SECS)
        with self._alone:
            left = 0 if self._closed else self._handed - self._done
            self._closed = True
            if left:
                self._on_dropped(left)
        self._words.leave()

    def _take(self, count: int) -> None:
        self._taken += count

    def _tell(self, count: int, taken: bool) -> None:  # noqa: FBT001 -- the one answer that there is
        with self._alone:
            if self._closed:
                return
            self._done += count
            (self._on_exported if taken else self._on_dropped)(count)
        if taken == self._failing:
            self._failing = not taken
            if taken:
                self._log.info("traces_taken_again")
            else:
                self._log.warning("traces_not_taken", reason=self._words.last)


class _Watched(SpanExporter):
    """An exporter that says what it takes from the queue, and what came of it."""

    def __init__(self, exporter: SpanExporter, on_take: Count, on_end: Callable[[int, bool], None]) -> None:
        self._exporter = exporter
        self._on_take = on_take
        self._on_end = on_end

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch."""
        self._on_take(len(spans))
        result = self._exporter.export(spans)
        self._on_end(len(spans), result is SpanExportResult.SUCCESS)
        return result

    def shutdown(self) -> None:
        """Send no more."""
        self._exporter.shutdown()


class _LastWords(logging.Handler):
    """What the library says of its failures, some lines for each batch: kept, to be said once by our own event."""

    def __init__(self) -> None:
        super().__init__()
        self.last = ""
        self._library = logging.getLogger("opentelemetry")
        self._library.addHandler(self)
        self._library.propagate = False

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self.last = record.getMessage()

    def leave(self) -> None:
        """The library speaks for itself again."""
        self._library.removeHandler(self)
        self._library.propagate = True
