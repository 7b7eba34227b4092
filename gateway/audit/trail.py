"""How does a request get into the audit trail? As it ends: its line is made at once, the rest by a thread, later."""

import logging
import sys
import threading
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Self

import orjson

from gateway.audit.choices import AuditLog
from gateway.audit.escapes import fully_unescaped
from gateway.audit.files import AuditFiles
from gateway.audit.given_up import GivenUp
from gateway.audit.heard import Heard, Side
from gateway.audit.personal import without_personal_data
from gateway.audit.plain_forms import in_plain_forms
from gateway.audit.texts import body_texts, stream_texts
from gateway.audit.waiting import Entry, Waiting
from gateway.core.clock import Clock
from gateway.core.context import RequestContext
from gateway.core.endpoint import Access
from gateway.core.refusal import Refusal
from gateway.observability.access_line import access_line
from gateway.observability.families.processes import AUDIT_RECORDS, AUDIT_RECORDS_DROPPED
from gateway.observability.metrics import Metrics
from gateway.observability.one_line import spelled_out
from gateway.observability.redaction import Redactor

if TYPE_CHECKING:
    from gateway.audit.settings import AuditSettings

logger = logging.getLogger(__name__)

GATHER_SECS: Final = 0.1
"""Records are gathered for this long: one lock and one write for all of them."""
MAX_WAITING_BYTES: Final = 16 * 1024 * 1024
"""Memory of what may wait in a worker to be read and written; records beyond it are given up and counted."""
RECORD_BYTES: Final = 1024
"""Of memory for each record that waits, besides its line and what was heard."""
SWITCH_SECS: Final = 0.0005
"""How long the event loop waits for a thread that reads texts to make room: a tenth of what CPython allows it."""
REMEDY: Final = "make room at AUDIT_PATH, or let the gateway write there; requests go on, records are lost meanwhile"
WORD_CHARACTERS: Final = 24
"""A text that is no longer is a word of the dialect most times, as `assistant`: what became of it is remembered."""
MAX_WORDS: Final = 2048
CLOSE_SECS: Final = 5.0
"""How long a worker's end waits for a disk that takes nothing."""

_OPEN = Access.OPEN
_FAILED_AUTH = Refusal.FAILED_AUTH

Record = Callable[[RequestContext], None]
OptedOut = Callable[[str], bool]
"""Whether no text of an organization's requests may be kept."""


class _Record(NamedTuple):
    """A request that has ended: its line of figures, and what was said, if that is kept."""

    line: bytes
    key_id: str
    streamed: bool
    heard: Heard | None


class Trail:
    """One worker's share of the audit trail; a scope.

    Args:
        settings: how much is kept.
        folder: where.
        redactor: takes keys out of texts, and says whether addresses are masked.
        opted_out: asked once for each request whose texts would be kept.
        clock: for the duration and the time of day.
        metrics: counts records, written and given up; from both threads.

    Attributes:
        keeps_texts: whether there is anything to `listen` for.
    """

    def __init__(
        self,
        settings: "AuditSettings",
        folder: Path,
        redactor: Redactor,
        opted_out: OptedOut,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._max_body_bytes = settings.audit_max_body_bytes
        self.keeps_texts = settings.audit_log is AuditLog.CONTENT
        self._files = AuditFiles(folder, max_bytes=settings.audit_max_bytes, count=settings.audit_files)
        self._redactor = redactor
        self._opted_out = opted_out
        self._clock = clock
        self._written = metrics.figure(AUDIT_RECORDS, str(settings.audit_log))
        self._dropped = metrics.figure(AUDIT_RECORDS_DROPPED)
        self._line = access_line(redactor, event="audit")
        self._heard: dict[str, Heard] = {}
        self._waiting: Waiting[_Record] = Waiting(MAX_WAITING_BYTES)
        self._given_up = GivenUp(clock)
        self._closing = threading.Event()
        self._clean_word = lru_cache(MAX_WORDS)(self._clean_text)
        self._failed = False
        self._switch_secs = sys.getswitchinterval()
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)

    def __enter__(self) -> Self:
        if self.keeps_texts:
            sys.setswitchinterval(SWITCH_SECS)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Write what waits, for at most CLOSE_SECS."""
        self._given_up.say()
        self._closing.set()
        self._waiting.close()
        self._thread.join(CLOSE_SECS)
        sys.setswitchinterval(self._switch_secs)

    def recording(self, record: Record) -> Record:
        """Has a request recorded here, too, when it is recorded there."""
        return partial(self._record_both, record)

    def _record_both(self, record: Record, ctx: RequestContext) -> None:
        record(ctx)
        self.record(ctx)

    def listen(self, ctx: RequestContext) -> Heard | None:
        """What is to hear this request and its answer; None: their texts are not kept."""
        if not ctx.endpoint.relayed or self._opted_out(ctx.organization):
            return None
        heard = self._heard[ctx.request_id] = Heard(self._max_body_bytes)
        return heard

    def record(self, ctx: RequestContext) -> None:
        """Have a request that has ended recorded, whatever became of it, if its path needs a key.

        But for those of an address that has tried too many wrong ones: they cost nothing, and would push others out.
        """
        if ctx.endpoint.access is _OPEN or ctx.refusal is _FAILED_AUTH:
            return
        line = self._line(ctx, self._clock.monotonic() - ctx.started, self._clock.wall())
        heard = self._heard.pop(ctx.request_id, None) if self.keeps_texts else None
        size = RECORD_BYTES + len(line) + (0 if heard is None else heard.memory)
        kept = _Record(line, ctx.principal.key_id, ctx.event_stream, heard)
        if not self._waiting.put(ctx.organization, kept, size):
            self._dropped.add()
            self._given_up.note(ctx.organization)

    def _run(self) -> None:
        waiting = self._waiting
        while waiting.wait():
            if not waiting.behind:
                self._closing.wait(GATHER_SECS)
            entries = waiting.take()
            self._write(entries)
            waiting.release(entries)
            del entries
        self._files.close()

    def _write(self, entries: list[Entry[_Record]]) -> None:
        lines = [self._made(entry.item) for entry in entries]
        written, failure = self._files.write(lines)
        self._written.add(written)
        if failure is not None:
            self._dropped.add(len(lines) - written)
        if failure is not None and not self._failed:
            logger.error("audit_not_written", extra={"why": str(failure), "remedy": REMEDY})
        elif failure is None and self._failed:
            logger.info("audit_written_again")
        self._failed = failure is not None

    def _made(self, record: _Record) -> bytes:
        """The record's line of JSON: the figures, as they were written when it ended, and the texts behind them."""
        more: dict[str, object] = {"key_id": record.key_id or None}
        if record.heard is not None:
            asked, answered = record.heard.asked, record.heard.answered
            more |= {
                "request": self._texts(asked, streamed=False),
                "request_cut": asked.cut,
                "response": self._texts(answered, streamed=record.streamed),
                "response_cut": answered.cut,
            }
        return record.line[:-2] + b"," + spelled_out(orjson.dumps(more)[1:]) + b"\n"

    def _texts(self, side: Side, *, streamed: bool) -> orjson.Fragment | None:
        texts = stream_texts if streamed else body_texts
        try:
            return orjson.Fragment(orjson.dumps(texts(side.body, self._clean, cut=side.cut)))
        except Exception as error:  # noqa: BLE001 -- a body that we cannot read costs its text, not the record
            logger.error("audit_text_failed", extra={"kind": type(error).__name__})  # noqa: TRY400 -- it may show the text
            return None

    def _clean(self, text: str) -> str:
        return self._clean_word(text) if len(text) <= WORD_CHARACTERS else self._clean_text(text)

    def _clean_text(self, text: str) -> str:
        """As it may be kept: as it came, or decoded and in plain forms, where that shows more to take out."""
        cleaned = self._clean_as_it_is(text)
        read = in_plain_forms(fully_unescaped(cleaned))
        if read is cleaned:
            return cleaned
        cleaned_again = self._clean_as_it_is(read)
        return cleaned if cleaned_again == read else cleaned_again

    def _clean_as_it_is(self, text: str) -> str:
        return without_personal_data(self._redactor.credentials(text))
