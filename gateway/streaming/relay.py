"""What may go to the client now? One stream's bytes, scanned once, passed in whole events until it ends or fails."""

from typing import Final

import msgspec

from gateway.core.endpoint import Dialect
from gateway.core.usage import Usage
from gateway.streaming.dialects import GRAMMARS, PASSED, Fate, Ruling
from gateway.streaming.events import (
    FailureReason,
    MalformedEventError,
    StreamFailure,
    begins_as_event,
    is_object,
    read_event,
)
from gateway.streaming.naming import Renamer
from gateway.streaming.usage import MARK, TAIL, UsageCut, UsageTally

MAX_EVENT_BYTES: Final = 8 * 1024 * 1024
"""The bound on one event where none is given."""

_END: Final = b"\n\n"

_FAILURES: Final = {
    Fate.ERROR: StreamFailure(FailureReason.BACKEND_ERROR, told=True),
    Fate.FOREIGN_ERROR: StreamFailure(FailureReason.BACKEND_ERROR),
    Fate.ABORT: StreamFailure(FailureReason.ABORTED),
    Fate.MALFORMED: StreamFailure(FailureReason.MALFORMED),
}


class StreamRelay:
    """Reads one backend stream of one dialect; sans-I/O.

    Only whole events are passed on: a client can do nothing with a part of one. Whatever the split of the input, the
    output and the verdict are the same. After a failure or the last event nothing more comes out.

    Attributes:
        failure: why the stream must not look like a success, None so far.
        ended: the dialect's last event went out.
        tokens: how many events carried tokens; progress for an idle timer, as comments are not.
    """

    __slots__ = ("_after_cr", "_bound", "_cut", "_grammar", "_held", "_renamer", "_tally", "ended", "failure", "tokens")

    def __init__(
        self,
        dialect: Dialect,
        *,
        model: str | None = None,
        cut_usage: UsageCut = UsageCut.NOTHING,
        choices: tuple[int, int] = (1, 1),
        max_event_bytes: int = MAX_EVENT_BYTES,
    ) -> None:
        """Prepare for one stream.

        Args:
            dialect: how the stream is spelled.
            model: the name that every event is to state; None leaves the backend's.
            cut_usage: what the client did not ask for.
            choices: choices per prompt, and prompts.
            max_event_bytes: the largest event that is held for its end.
        """
        self._grammar = GRAMMARS[dialect]
        self._renamer = None if model is None else Renamer(model)
        self._cut = cut_usage
        self._tally = UsageTally(choices)
        self._bound = max_event_bytes
        self._held = bytearray()
        self._after_cr = False
        self.failure: StreamFailure | None = None
        self.ended = False
        self.tokens = 0

    @property
    def usage(self) -> Usage | None:
        """The latest figures that the backend stated, also of a stream that was cut short."""
        return self._tally.read()

    def feed(self, data: bytes) -> bytes:
        """Take bytes as they came and give those that may go out now, possibly none."""
        if self.ended or self.failure is not None or not data:
            return b""
        if self._after_cr or b"\r" in data:
            data = self._unify_line_ends(data)
        if not self._held and data.endswith(_END):
            return self._pass_run(data) if self._is_plain(data) else self._pass_each(data)
        block = self._whole_events(data)
        out = self._pass_each(block)
        self._check_held()
        return out

    def finish(self) -> StreamFailure | None:
        """The input is at its end; the verdict on the whole stream, None for a success."""
        if self.failure is None and not self.ended:
            cut = begins_as_event(bytes(self._held[:16]))
            self._fail(StreamFailure(FailureReason.TRUNCATED if cut else FailureReason.MALFORMED))
        return self.failure

    def _unify_line_ends(self, data: bytes) -> bytes:
        """CR LF and CR become LF; a CR at the end of `data` may be half of a pair."""
        if self._after_cr:
            data = data.removeprefix(b"\n")
        self._after_cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _whole_events(self, data: bytes) -> bytes:
        """What is held and `data` up to the last blank line; the rest is held."""
        held = self._held
        searched = max(0, len(held) - 1)
        held += data
        end = held.rfind(_END, searched)
        if end < 0:
            return b""
        whole = bytes(held[: end + 2])
        del held[: end + 2]
        return whole

    def _check_held(self) -> None:
        if len(self._held) > self._bound and len(self._held.strip(b"\n")) > self._bound:
            self._fail(StreamFailure(FailureReason.OVERSIZED))

    def _is_plain(self, block: bytes) -> bool:
        """Whether `block` is a run of events of which none needs a judgement."""
        grammar = self._grammar
        if len(block) > self._bound or grammar.plain.fullmatch(block) is None:
            return False
        # Spelled out: a generator would cost more than the searches.
        for mark in grammar.suspicious:  # noqa: SIM110 -- any() builds a generator for each chunk
            if mark in block:
                return False
        return True

    def _pass_run(self, block: bytes) -> bytes:
        grammar = self._grammar
        out = block
        if grammar.named:
            if self._renamer is not None:
                renamed = self._renamer.run(block, block.count(_END))
                if renamed is None:
                    return self._pass_each(block)
                out = renamed
            if MARK in block:
                self._tally.note(block)
                if self._cut is not UsageCut.NOTHING:
                    out = TAIL.sub(b"", out)
        self.tokens += block.count(grammar.progress)
        return out

    def _pass_each(self, block: bytes) -> bytes:
        """Pass events one by one, up to the last one or the first that fails."""
        out: list[bytes] = []
        for raw in block.split(_END):
            if raw and raw != b"\n":
                out.append(self._pass_one(raw.removeprefix(b"\n")))
            if self.failure is not None or self.ended:
                break
        return b"".join(out)

    def _pass_one(self, raw: bytes) -> bytes:
        if len(raw) > self._bound:
            return self._fail(StreamFailure(FailureReason.OVERSIZED))
        try:
            event = read_event(raw)
            if event.data is None:
                # A field without data is no event to a client, and breaks some that take it for one.
                return raw + _END if raw.startswith(b":") and not event.name else b""
            ruling = PASSED if self._is_plain(raw + _END) else self._grammar.judge(event)
            return self._apply(ruling, raw, event.data)
        except (MalformedEventError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._fail(StreamFailure(FailureReason.MALFORMED))

    def _apply(self, ruling: Ruling, raw: bytes, data: bytes) -> bytes:
        grammar = self._grammar
        fate = ruling.fate
        if ruling.usage is not None:
            self._tally.state(ruling.usage)
        elif grammar.named and MARK in raw:
            self._tally.note(raw)
        if fate is Fate.DROP or (fate is Fate.TOTALS and self._cut is UsageCut.ALL):
            return b""
        if fate in _FAILURES:
            self._fail(_FAILURES[fate])
            if fate is not Fate.ERROR:
                return b""
        if self._renamer is not None and (grammar.named or ruling.holder is not None) and is_object(data):
            raw = self._renamer.one(raw, data, ruling.holder)
        if fate is Fate.PASS:
            self.tokens += (raw + _END).count(grammar.progress)
            if grammar.named and self._cut is not UsageCut.NOTHING:
                raw = TAIL.sub(b"", raw)
        self.ended = fate is Fate.LAST
        return raw + _END

    def _fail(self, failure: StreamFailure) -> bytes:
        self.failure = failure
        self._held.clear()
        return b""
