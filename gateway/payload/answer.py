"""What does a whole answer state? Its usage, whether it was aborted, and under which model name it goes out."""

import re
from typing import Final

import msgspec
import orjson
from msgspec import Raw

from gateway.core.usage import StatedUsage, Usage

_HEAD: Final = re.compile(rb'\{(?:"(?:id|object)":"[^"\\]*",|"created":\d+,)*"model":"[^"\\]*"')
"""How vLLM's chat, completion, embedding, rerank and score answers begin, up to and with the model's name."""


class Answer(msgspec.Struct, frozen=True):
    """What a whole answer states of itself.

    Attributes:
        usage: the backend's token counts, None when it states none.
        aborted: the backend gave the generation up (a shutdown) and sent what it had with status 200.
    """

    usage: Usage | None = None
    aborted: bool = False


class _Choice(msgspec.Struct):
    finish_reason: str | None = None


class _Choices(msgspec.Struct):
    choices: list[_Choice] | None = None


class _Answer(msgspec.Struct):
    usage: StatedUsage | None = None
    object: str | None = None
    type: str | None = None
    status: str | None = None
    stop_reason: str | None = None


_ABORT: Final = b'"abort"'
"""Without these bytes no choice was aborted, and the choices, most of an answer, need not be read."""

_USAGE: Final = b',"usage":{"prompt_tokens":'
_PLAIN: Final = re.compile(
    rb',"usage":\{"prompt_tokens":(\d{1,9}),"total_tokens":\d{1,9}(?:,"completion_tokens":(\d{1,9}))?[,}]'
)

_answer = msgspec.json.Decoder(_Answer)
_choices = msgspec.json.Decoder(_Choices)
_members = msgspec.json.Decoder(dict[str, Raw])


def read_answer(body: bytes) -> Answer:
    """Read usage and the signs of an abort; an answer that cannot be read states nothing.

    The answers of chat, completions, embeddings and rerank are read from their last `usage` as vLLM writes it, without
    going through the rest: a third of the cost. A quote before a key is never inside a JSON string, so no text that a
    model writes can stand for it.

    Aborts as vLLM spells them: `finish_reason` "abort" of a choice, `status` "cancelled" or "failed" of a response,
    `stop_reason` null of a message.
    """
    if _ABORT not in body:
        plain = _PLAIN.match(body, body.rfind(_USAGE))
        if plain is not None:
            return Answer(Usage(int(plain[1]), int(plain[2] or 0)))
    try:
        answer = _answer.decode(body)
        choices = _choices.decode(body).choices if _ABORT in body else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Answer()
    aborted = choices is not None and any(choice.finish_reason == "abort" for choice in choices)
    aborted |= answer.object == "response" and answer.status in {"cancelled", "failed"}
    aborted |= answer.type == "message" and answer.stop_reason is None
    return Answer(None if answer.usage is None else answer.usage.counts(), aborted)


def usage_of(body: bytes) -> Usage | None:
    """The token counts that an answer states, None when there are none."""
    return read_answer(body).usage


def rename_model(body: bytes, model: str) -> bytes:
    """Put `model` in place of the answer's top-level model name; an answer without one is returned unchanged."""
    name = orjson.dumps(model)
    head = _HEAD.match(body)
    if head is not None:
        before = head.group().rpartition(b'"model":')[0]
        return b"".join((before, b'"model":', name, memoryview(body)[head.end() :]))
    try:
        members = _members.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body
    if "model" not in members:
        return body
    members["model"] = Raw(name)
    return msgspec.json.encode(members)
