"""What may go to the client now? One stream's bytes, scanned once, passed in whole events until it ends or fails."""

import re
from typing import Final

import msgspec

from gateway.core.endpoint import Dialect
from gateway.core.usage import Usage
from gateway.streaming.dialects import GRAMMARS, Fate, Ruling, Sound
from gateway.streaming.events import (
    FailureReason,
    MalformedEventError,
    StreamFailure,
    begins_as_event,
    is_comment,
    read_event,
)
from gateway.streaming.rewriting import json_name, rewrite
from gateway.streaming.usage import MARK, UsageCut, UsageTally, figures_end

MAX_EVENT_BYTES: Final = 8 * 1024 * 1024
"""The bound on one event where none is given."""

USUAL_BYTES: Final = 4096
"""A piece of a larger size is not tried for one usual event."""

_END: Final = b"\n\n"
_CR, _LF = b"\r\n"
"""As numbers: looked for as bytes, each would cost an exception inside CPython, 2,000 instructions."""
_CLOSE: Final = b"}"
_AFTER_CHOICES: Final = b"}]}\n\n"
_STEM: Final = b'{"choices":[{"index":0,'
"""Stands before the rest of a chunk for its beginning, which has been checked."""
_NEVER: Final = b"\r" * (USUAL_BYTES + 1)
"""Begins no data that is looked at for its beginning: none of it is so long."""

_UNSOUND: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding raises."""

_FAILURES: Final = {
    Fate.ERROR: StreamFailure(FailureReason.BACKEND_ERROR, told=True),
    Fate.FOREIGN_ERROR: StreamFailure(FailureReason.BACKEND_ERROR),
    Fate.ABORT: StreamFailure(FailureReason.ABORTED),
}


class StreamRelay:
    """Reads one backend stream of one dialect; sans-I/O.

    Only whole events are passed on: a client can do nothing with a part of one. What becomes of an event depends on
    its own bytes alone, so output and verdict are the same whatever the split of the input. After a failure or the
    last event nothing more comes out.

    Attributes:
        failure: why the stream must not look like a success, None so far.
        ended: the dialect's last event went out.
        tokens: how many events carried tokens; progress for an idle timer, as comments are not.
    """

    __slots__ = (
        "_after_cr",
        "_bound",
        "_check",
        "_cuts_events",
        "_cuts_totals",
        "_ending",
        "_figures",
        "_grammar",
        "_held",
        "_latest",
        "_name",
        "_tally",
        "_usual",
        "_usual_index",
        "_usual_most",
        "_usual_out",
        "ended",
        "failure",
        "tokens",
    )

    def __init__(
        self,
        dialect: Dialect,
        *,
        model: str | None = None,
        cut_usage: UsageCut = UsageCut.NOTHING,
        choices_per_prompt: int = 1,
        max_event_bytes: int = MAX_EVENT_BYTES,
    ) -> None:
        """Prepare for one stream.

        Args:
            dialect: how the stream is spelled.
            model: the name that every event is to state; None leaves the backend's.
            cut_usage: what the client did not ask for; chat and completions only.
            choices_per_prompt: the request's `n`, to add up the figures of several prompts.
            max_event_bytes: the largest event, without its blank line, that is held for its end.
        """
        self._grammar = GRAMMARS[dialect]
        self._check = self._grammar.check
        self._name = None if model is None else json_name(model)
        self._cuts_events = cut_usage is not UsageCut.NOTHING
        self._cuts_totals = cut_usage is UsageCut.ALL
        self._tally = UsageTally(choices_per_prompt)
        self._figures = self._tally.latest
        self._bound = max_event_bytes
        self._held = bytearray()
        self._after_cr = False
        self._usual = self._usual_out = _NEVER
        """How the last plain chunk began, up to its choice's index, and how that goes out: nearly all the others of a
        stream begin so too, and comparing costs a twentieth of matching. None does while a part of an event is held."""
        self._usual_index = b""
        self._latest: Sound | None = None
        """The last plain event: a choice's last says why it ended. To look at each would cost more than to keep it."""
        self._ending: str | None = None
        self._usual_most = min(max_event_bytes, USUAL_BYTES)
        self.failure: StreamFailure | None = None
        self.ended = False
        self.tokens = 0

    @property
    def usage(self) -> Usage | None:
        """The latest figures that the backend stated, also of a stream that was cut short.

        A message's first event states the prompt and its last the rest: until then each event with tokens counts as
        one, which is what vLLM puts into an event unless `--stream-interval` has it put more.
        """
        stated = self._tally.read()
        if stated is None or stated.completion_tokens or self._grammar.chunks:
            return stated
        return Usage(stated.prompt_tokens, self.tokens)

    @property
    def finish_reason(self) -> str | None:
        """Why the model says that the last choice ended, in the words of chat; None where it has not said."""
        return self._ending or (None if self._latest is None else self._latest.reason)

    def feed(self, data: bytes) -> bytes:
        """Take bytes as they came and give those that may go out now, possibly none."""
        return self.feed_usual(data) or self.feed_unusual(data)

    def feed_usual(self, data: bytes) -> bytes:
        """As `feed`, where these bytes are one whole chunk that begins as the last one did; it carries a token.

        Where they are anything else it gives nothing and has done nothing: they are for `feed_unusual`.
        """
        if len(data) > self._usual_most:
            return b""
        rest = data.removeprefix(self._usual)
        body = rest.removesuffix(_END)
        if rest is data or body is rest or _LF in body or _CR in body:
            return b""
        check = self._check
        try:
            self._latest = check(_STEM + body)
        except _UNSOUND:
            return b""
        head, mark, figures = body.rpartition(MARK)
        members, _, last = figures.partition(_CLOSE)
        if last != _CLOSE or not mark:  # there are none, they hold an object, or they do not end the event
            return self._pass_chunk(data, 0, len(data)) if body.endswith(_CLOSE) else b""
        self._figures[self._usual_index] = members
        self.tokens += 1
        if self._cuts_events:
            return self._usual_out + head + _AFTER_CHOICES
        return self._usual_out + body + _END

    def feed_unusual(self, data: bytes) -> bytes:
        """As `feed`, for what `feed_usual` gave nothing for."""
        if self.ended or self.failure is not None or not data:
            return b""
        if not self._held and len(data) <= self._bound and _CR not in data:
            event = self._grammar.plain.match(data)
            if event is not None and event.end() == len(data):
                return self._pass_plain(event)
        out = self._pass_each(self._whole_events(self._unify_line_ends(data)))
        if self._held:
            self._usual = _NEVER
            if len(self._held) > self._bound and len(self._held.strip(b"\n")) > self._bound:
                self._fail(StreamFailure(FailureReason.OVERSIZED))
        return out

    def finish(self) -> StreamFailure | None:
        """The input is at its end; the verdict on the whole stream, None for a success."""
        if self.failure is None and not self.ended:
            cut_short = begins_as_event(bytes(self._held[:16]))
            self._fail(StreamFailure(FailureReason.TRUNCATED if cut_short else FailureReason.MALFORMED))
        return self.failure

    def _unify_line_ends(self, data: bytes) -> bytes:
        """CR LF and CR become LF; a CR at the end of `data` may be half of a pair.

        Data that went the short way in between does no harm: between events a line end more or less says nothing.
        """
        if self._after_cr:
            data = data.removeprefix(b"\n")
            self._after_cr = False
        if b"\r" not in data:
            return data
        self._after_cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _whole_events(self, data: bytes) -> bytes:
        """What is held and `data` up to the last blank line; the rest is held."""
        held = self._held
        if not held and data.endswith(_END):
            return data
        searched = max(0, len(held) - 1)
        held += data
        end = held.rfind(_END, searched)
        if end < 0:
            return b""
        whole = bytes(held[: end + 2])
        del held[: end + 2]
        return whole

    def _pass_each(self, block: bytes) -> bytes:
        """Pass events one by one, up to the last one or the first that fails."""
        out: list[bytes] = []
        plain = self._grammar.plain
        at = 0
        while at < len(block) and self.failure is None and not self.ended:
            if block.startswith(b"\n", at):
                at += 1
                continue
            if block.startswith(self._usual, at):
                end = block.index(_END, at) + 2
                passed = self.feed_usual(block[at:end])
                if passed:
                    out.append(passed)
                    at = end
                    continue
            event = plain.match(block, at)
            end = block.index(_END, at) if event is None else event.end() - 2
            if end - at > self._bound:
                self._fail(StreamFailure(FailureReason.OVERSIZED))
            else:
                out.append(self._pass_odd(block[at:end]) if event is None else self._pass_plain(event))
            at = end + 2
        return b"".join(out)

    def _pass_plain(self, event: re.Match[bytes]) -> bytes:
        """Pass an event of the usual spelling; that it is whole and states no failure is all that is read of it."""
        try:
            self._latest = self._check(event[1])
        except _UNSOUND:
            return self._pass_odd(event[0][:-2])
        grammar = self._grammar
        if grammar.chunks:
            self._learn(event)
            return self._pass_chunk(event.string, *event.span())
        start, end = event.span()
        if event.string.find(grammar.progress, start, end) >= 0:
            self.tokens += 1
        return event.string[start:end]

    def _learn(self, event: re.Match[bytes]) -> None:
        """Remember how a chunk began, with the byte that ends its index."""
        start, end = event.start(), event.end(3) + 1
        block = event.string
        self._usual = self._usual_out = block[start:end]
        self._usual_index = event[3]
        if self._name is not None:
            self._usual_out = block[start : event.start(2)] + self._name + block[event.end(2) : end]

    def _pass_chunk(self, block: bytes, start: int, end: int) -> bytes:
        """Pass a chunk of a choice that begins as usual: one splice for the model's name and one for the figures."""
        self.tokens += 1
        kept = rest = end
        mark = block.rfind(MARK, start, end)
        if mark >= 0 and (stop := figures_end(block, mark, end)):
            self._tally.note(self._usual_index, block[mark + len(MARK) - 1 : stop])
            if self._cuts_events:
                kept, rest = mark + 2, stop
        if self._name is None:
            return block[start:kept] + block[rest:end]
        return self._usual_out + block[start + len(self._usual) : kept] + block[rest:end]

    def _pass_odd(self, raw: bytes) -> bytes:
        """Pass an event of any other kind or spelling, given without its blank line."""
        if raw == self._grammar.last:
            return self._pass_last(raw)
        try:
            event = read_event(raw)
            if event is None:
                # Fields without data are no event to a client, and some clients break on them.
                return raw + _END if is_comment(raw) else b""
            ruling = self._grammar.judge(event)
            changed = self._rewrite(event.data, ruling)
        except (MalformedEventError, *_UNSOUND):
            return self._fail(StreamFailure(FailureReason.MALFORMED))
        self._book(ruling)
        if ruling.fate is Fate.DROP or (ruling.fate is Fate.TOTALS and self._cuts_totals):
            return b""
        if ruling.fate in _FAILURES:
            failure = _FAILURES[ruling.fate]
            self._fail(failure._replace(stated=event.data) if ruling.fate is Fate.FOREIGN_ERROR else failure)
            if ruling.fate is not Fate.ERROR:
                return b""
        if changed is not event.data:
            raw = raw.replace(event.data, changed)
        return self._pass_last(raw) if ruling.fate is Fate.LAST else raw + _END

    def _pass_last(self, raw: bytes) -> bytes:
        self.ended = True
        self._usual = _NEVER
        return raw + _END

    def _rewrite(self, data: bytes, ruling: Ruling) -> bytes:
        drop_usage = self._cuts_events and ruling.choice is not None
        named = self._name is not None and (self._grammar.chunks or ruling.holder is not None)
        if not (named or drop_usage) or not data.startswith(b"{"):
            return data
        return rewrite(data, name=self._name if named else None, holder=ruling.holder, drop_usage=drop_usage)

    def _book(self, ruling: Ruling) -> None:
        self.tokens += ruling.token
        self._ending = ruling.reason or self._ending
        if ruling.usage is not None:
            self._tally.state(ruling.usage)
        elif ruling.choice is not None and isinstance(ruling.figures, msgspec.Raw):
            self._tally.note(b"%d" % ruling.choice, bytes(ruling.figures))

    def _fail(self, failure: StreamFailure) -> bytes:
        self.failure = failure
        self._usual = _NEVER
        self._held.clear()
        return b""
