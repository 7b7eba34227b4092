"""What does an event mean? Each dialect's plain events, last event and failures, as a row."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, Literal, NamedTuple

import msgspec
from msgspec import UNSET, Raw, UnsetType

from gateway.core.endpoint import Dialect
from gateway.core.faults import states_error
from gateway.core.usage import Usage
from gateway.streaming.events import Event
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


class Ruling(NamedTuple):
    """A judgement on one event.

    Attributes:
        fate: what becomes of it.
        token: whether it carries tokens.
        usage: the figures that it states for the whole stream.
        holder: the member that holds the model's name, None when the event itself does.
        reason: why a choice, or all of the answer, ends with it, in the words of chat; None where it does not say.
        choice: the choice whose own figures the event states, None when it states none.
        figures: those figures.
    """

    fate: Fate
    token: bool = False
    usage: Usage | None = None
    holder: str | None = None
    reason: str | None = None
    choice: int | None = None
    figures: Raw | UnsetType = UNSET


@dataclass(frozen=True, slots=True)
class Grammar:
    """How one dialect's stream is read.

    Attributes:
        plain: matches one whole event, blank line included, of the usual kind and spelling, in a text without
            carriage returns. Group 1 is its data; where `chunks`, group 2 is the model's name with its quotes and
            group 3 the choice's index.
        check: goes through a plain event's data, which pass without being judged where it returns. Raises
            msgspec.DecodeError (UnicodeDecodeError, RecursionError) where they are no whole JSON object, or may state
            a failure, however it is spelled.
        chunks: whether every event carries tokens of a choice, and itself states the model's name and usage.
        progress: bytes that stand in a plain event that carries tokens and in no other, where not all do.
        last: the event that ends a stream, without its blank line, where it is spelled in one way; else nothing.
        judge: what any other event means. Raises msgspec.DecodeError (or RecursionError) when its data is neither a
            JSON object nor the end's mark.
    """

    plain: re.Pattern[bytes]
    check: Callable[[bytes], "Sound"]
    chunks: bool
    progress: bytes
    last: bytes
    judge: Callable[[Event], Ruling]


LENGTH: Final = "length"
"""Why an answer ends that has as many tokens as it may."""
_KNOWN_END = Literal["stop", "length", "tool_calls", "function_call", "content_filter", "repetition"]


class Sound(msgspec.Struct, gc=False):
    """What was gone through of a plain event's data."""

    @property
    def reason(self) -> str | None:
        """Why its choice ends with it; None where it goes on."""
        return None


class _SoundPart(Sound, gc=False):
    """A part of a response or of a message; where it has one of these members, it must be read."""

    error: None = None
    object: None = None


class _SoundChoice(msgspec.Struct, gc=False):
    """A choice that goes on, or that ended as vLLM's do; any other end must be read."""

    finish_reason: _KNOWN_END | None = None


class _SoundChunk(Sound, gc=False):
    """A chunk without an error.

    Its types are the check: comparing while it validates costs msgspec 1,300 instructions, half of a search for one
    spelling of an abort.
    """

    object: Literal["chat.completion.chunk", "text_completion"] | None = None
    choices: list[_SoundChoice] = []
    error: None = None

    @property
    def reason(self) -> str | None:
        """That of its last choice."""
        return self.choices[-1].finish_reason if self.choices else None


class _Fault(msgspec.Struct):
    """What an event says when it is an error; older releases of vLLM say `"object": "error"`."""

    error: Raw | UnsetType = UNSET
    object: Raw | UnsetType = UNSET
    type: Raw | UnsetType = UNSET

    def is_stated(self) -> bool:
        """Whether it is one; `"error": null` is none."""
        return self.is_foreign() or states_error(self.error)

    def is_foreign(self) -> bool:
        """Whether it is one that no dialect spells so."""
        return self.object is not UNSET and bytes(self.object) == _ERROR_NAME


class _Choice(msgspec.Struct):
    index: int = 0
    finish_reason: str | None = None


class _Chunk(_Fault):
    choices: list[_Choice] | None = None
    usage: Raw | UnsetType = UNSET


class _Response(msgspec.Struct):
    status: str | None = None
    usage: Raw | UnsetType = UNSET


class _ResponseEvent(msgspec.Struct):
    response: _Response | None = None


class _Delta(msgspec.Struct):
    stop_reason: str | None = None


class _Message(msgspec.Struct):
    delta: _Delta | None = None
    usage: Raw | UnsetType = UNSET


class _MessageStart(msgspec.Struct):
    message: _Message | None = None


_sound_part = msgspec.json.Decoder(_SoundPart)
_sound_chunk = msgspec.json.Decoder(_SoundChunk)
_fault = msgspec.json.Decoder(_Fault)
_chunk = msgspec.json.Decoder(_Chunk)
_response = msgspec.json.Decoder(_ResponseEvent)
_message = msgspec.json.Decoder(_Message)
_start = msgspec.json.Decoder(_MessageStart)

_DONE: Final = b"[DONE]"
_ERROR_NAME: Final = b'"error"'


def _usage(raw: Raw | UnsetType) -> Usage | None:
    return None if raw is UNSET else parse_usage(raw)


def judge_openai(event: Event) -> Ruling:
    """Chat and completions: `[DONE]`, an `error`, a choice that ends with "abort", the event of the totals."""
    data = event.data
    if data == _DONE:
        return Ruling(Fate.LAST)
    chunk = _chunk.decode(data)
    if chunk.is_stated():
        return Ruling(Fate.FOREIGN_ERROR if chunk.is_foreign() else Fate.ERROR)
    if not chunk.choices:
        usage = _usage(chunk.usage)
        return Ruling(Fate.PASS) if usage is None else Ruling(Fate.TOTALS, usage=usage)
    aborted = any(choice.finish_reason == "abort" for choice in chunk.choices)
    fate = Fate.ABORT if aborted else Fate.PASS
    last = chunk.choices[-1].finish_reason
    return Ruling(fate, token=True, reason=last, choice=chunk.choices[0].index, figures=chunk.usage)


def judge_responses(event: Event) -> Ruling:
    """Responses: the events of the response as a whole; vLLM completes an aborted one with status "cancelled"."""
    name, data = event
    if data == _DONE:
        return Ruling(Fate.DROP)
    fault = _fault.decode(data)
    if name == b"error" or fault.is_stated():
        return Ruling(Fate.FOREIGN_ERROR if fault.is_foreign() else Fate.ERROR)
    if name not in _RESPONSE_FATES:
        return Ruling(Fate.PASS, token=name.endswith(b".delta"))
    response = _response.decode(data).response or _Response()
    fate = _RESPONSE_FATES[name]
    if fate is Fate.LAST and response.status not in _ENDED_WELL:
        fate = Fate.ABORT
    reason = LENGTH if response.status == "incomplete" else None
    return Ruling(fate, usage=_usage(response.usage), holder="response", reason=reason)


_RESPONSE_FATES: Final = {
    b"response.created": Fate.PASS,
    b"response.queued": Fate.PASS,
    b"response.in_progress": Fate.PASS,
    b"response.completed": Fate.LAST,
    b"response.incomplete": Fate.LAST,
    b"response.failed": Fate.ERROR,
}
_ENDED_WELL: Final = frozenset({"completed", "incomplete"})


def judge_anthropic(event: Event) -> Ruling:
    """Messages: `message_stop`, `event: error`; vLLM closes an aborted message with a null stop reason."""
    name, data = event
    if data == _DONE:
        return Ruling(Fate.DROP)
    fault = _fault.decode(data)
    if name == b"error" or fault.is_stated():
        ours = name == b"error" and fault.type is not UNSET and bytes(fault.type) == _ERROR_NAME
        return Ruling(Fate.ERROR if ours else Fate.FOREIGN_ERROR)
    if name == b"message_start":
        start = _start.decode(data).message or _Message()
        return Ruling(Fate.PASS, usage=_usage(start.usage), holder="message")
    if name == b"message_delta":
        message = _message.decode(data)
        stop = _Delta("") if message.delta is None else message.delta
        fate = Fate.ABORT if stop.stop_reason is None else Fate.PASS
        reason = LENGTH if stop.stop_reason == "max_tokens" else None
        return Ruling(fate, usage=_usage(message.usage), reason=reason)
    return Ruling(Fate.LAST if name == b"message_stop" else Fate.PASS, token=name == b"content_block_delta")


_TEXT: Final = rb'"[^"\n]*"'
_REST: Final = rb".*\})\n\n"
"""`.` stops at a line's end and costs a fifth of a set of two characters; carriage returns are sought beforehand."""

GRAMMARS: Final = {
    Dialect.OPENAI: Grammar(
        plain=re.compile(
            rb'data: (\{"id":%b,"object":%b,"created":\d+,"model":(%b),"choices":\[\{"index":(\d+),%b'
            % (_TEXT, _TEXT, _TEXT, _REST)
        ),
        check=_sound_chunk.decode,
        chunks=True,
        progress=b"",
        last=b"data: " + _DONE,
        judge=judge_openai,
    ),
    Dialect.RESPONSES: Grammar(
        # Events of a part of the response have a second dot; those of the response as a whole are judged.
        plain=re.compile(rb"event: response\.\w+\.[\w.]+\ndata: (\{" + _REST),
        check=_sound_part.decode,
        chunks=False,
        progress=b".delta\n",
        last=b"",
        judge=judge_responses,
    ),
    Dialect.ANTHROPIC: Grammar(
        plain=re.compile(rb"event: content_block_\w+\ndata: (\{" + _REST),
        check=_sound_part.decode,
        chunks=False,
        progress=b"_delta\n",
        last=b"",
        judge=judge_anthropic,
    ),
}
