"""What does an event mean? Each dialect's plain events, last event and failures, as a row."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, NamedTuple

import msgspec
from msgspec import UNSET, Raw, UnsetType

from gateway.core.endpoint import Dialect
from gateway.core.usage import Usage
from gateway.streaming.events import Event, is_object
from gateway.streaming.usage import parse_usage


class Fate(Enum):
    """What becomes of an event, and of the stream after it."""

    PASS = auto()
    DROP = auto()
    TOTALS = auto()
    """The event that only states the whole stream's usage."""
    LAST = auto()
    """The end that the dialect promises."""
    ERROR = auto()
    """The backend's own error, spelled in the dialect: it passes and the stream has failed."""
    FOREIGN_ERROR = auto()
    """The backend's own error, spelled otherwise: it does not pass."""
    ABORT = auto()
    MALFORMED = auto()


class Ruling(NamedTuple):
    """A judgement on one event.

    Attributes:
        fate: what becomes of it.
        usage: the figures that it states for the whole stream.
        holder: the member that holds the model's name, None when the event itself does.
    """

    fate: Fate
    usage: Usage | None = None
    holder: str | None = None


@dataclass(frozen=True, slots=True)
class Grammar:
    """How one dialect's stream is read.

    Attributes:
        plain: matches a run of whole events that pass unread unless a suspicious mark stands in them.
        suspicious: bytes without which no plain event needs a judgement. Raw quotes cannot stand inside a JSON
            string, so a mark that text can imitate costs a closer look, never a wrong judgement.
        progress: bytes that stand once in each plain event that carries tokens, and nowhere else: they hold a line
            end, which JSON text cannot.
        named: whether every event itself holds the model's name.
        judge: what an event means that is not plain, or suspicious. Raises msgspec.DecodeError on broken JSON.
    """

    plain: re.Pattern[bytes]
    suspicious: tuple[bytes, ...]
    progress: bytes
    named: bool
    judge: Callable[[Event], Ruling]


class _Choice(msgspec.Struct):
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: Raw | UnsetType = UNSET


class _Response(msgspec.Struct):
    status: str | None = None
    usage: Raw | UnsetType = UNSET


class _ResponseEvent(msgspec.Struct):
    response: _Response | None = None


class _Delta(msgspec.Struct):
    stop_reason: str | None = None


class _MessageEvent(msgspec.Struct):
    delta: _Delta | None = None
    usage: Raw | UnsetType = UNSET


class _MessageStart(msgspec.Struct):
    message: _MessageEvent | None = None


_chunk = msgspec.json.Decoder(_Chunk)
_response = msgspec.json.Decoder(_ResponseEvent)
_message = msgspec.json.Decoder(_MessageEvent)
_start = msgspec.json.Decoder(_MessageStart)

PASSED: Final = Ruling(Fate.PASS)
"""An event like any other."""

_LAST: Final = Ruling(Fate.LAST)
_DROP: Final = Ruling(Fate.DROP)
_ERROR: Final = Ruling(Fate.ERROR)
_FOREIGN_ERROR: Final = Ruling(Fate.FOREIGN_ERROR)
_ABORT: Final = Ruling(Fate.ABORT)
_MALFORMED: Final = Ruling(Fate.MALFORMED)

_ENDED_WELL: Final = frozenset({"completed", "incomplete"})


def _usage(raw: Raw | UnsetType) -> Usage | None:
    return None if raw is UNSET else parse_usage(raw)


def judge_openai(event: Event) -> Ruling:
    """Chat and completions: `[DONE]`, `{"error": ...}`, a choice that ends with "abort", the event of the totals."""
    data = event.data or b""
    if data == b"[DONE]":
        return _LAST
    if data.startswith(b'{"error"'):
        return _ERROR
    if not is_object(data):
        return _MALFORMED
    chunk = _chunk.decode(data)
    if any(choice.finish_reason == "abort" for choice in chunk.choices or ()):
        return _ABORT
    if chunk.choices == [] and chunk.usage is not UNSET:
        return Ruling(Fate.TOTALS, _usage(chunk.usage))
    return PASSED


def judge_responses(event: Event) -> Ruling:
    """Responses: the events of the response as a whole; vLLM completes an aborted one with status "cancelled"."""
    data = event.data or b""
    if event.name == b"error" or data.startswith(b'{"error"'):
        return _ERROR
    if data == b"[DONE]":
        return _DROP
    if not is_object(data):
        return _MALFORMED
    if event.name not in _LIFECYCLE:
        return PASSED
    response = _response.decode(data).response or _Response()
    if event.name == b"response.failed":
        return Ruling(Fate.ERROR, _usage(response.usage), "response")
    if event.name == b"response.incomplete":
        return Ruling(Fate.LAST, _usage(response.usage), "response")
    if event.name == b"response.completed":
        fate = Fate.LAST if response.status in _ENDED_WELL else Fate.ABORT
        return Ruling(fate, _usage(response.usage), "response")
    return Ruling(Fate.PASS, holder="response")


_LIFECYCLE: Final = frozenset(
    b"response." + word for word in (b"created", b"queued", b"in_progress", b"completed", b"incomplete", b"failed")
)


def judge_anthropic(event: Event) -> Ruling:
    """Messages: `message_stop`, `event: error`; vLLM closes an aborted message with a null stop reason."""
    data = event.data or b""
    if event.name == b"error" or data.startswith(b'{"error"'):
        return _ERROR if data.startswith(b'{"type":"error"') else _FOREIGN_ERROR
    if data == b"[DONE]":
        return _DROP
    if not is_object(data):
        return _MALFORMED
    if event.name == b"message_stop":
        return _LAST
    if event.name == b"message_start":
        start = _start.decode(data).message or _MessageEvent()
        return Ruling(Fate.PASS, _usage(start.usage), "message")
    if event.name == b"message_delta":
        message = _message.decode(data)
        gave_up = message.delta is not None and message.delta.stop_reason is None
        return Ruling(Fate.ABORT if gave_up else Fate.PASS, _usage(message.usage))
    return PASSED


GRAMMARS: Final = {
    Dialect.OPENAI: Grammar(
        plain=re.compile(rb"(?:data: \{[^\n]*\}\n\n)++"),
        suspicious=(b'{"error"', b'"abort"', b'"choices":[]'),
        progress=b"\n\n",
        named=True,
        judge=judge_openai,
    ),
    Dialect.RESPONSES: Grammar(
        # Events of a part of the response have a second dot; those of the response as a whole are judged.
        plain=re.compile(rb"(?:event: response\.\w+\.[\w.]+\ndata: \{[^\n]*\}\n\n)++"),
        suspicious=(b'{"error"',),
        progress=b".delta\n",
        named=False,
        judge=judge_responses,
    ),
    Dialect.ANTHROPIC: Grammar(
        plain=re.compile(rb"(?:event: content_block_\w+\ndata: \{[^\n]*\}\n\n)++"),
        suspicious=(b'{"error"',),
        progress=b"content_block_delta\n",
        named=False,
        judge=judge_anthropic,
    ),
}
