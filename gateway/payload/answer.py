"""What does a whole answer state? Its usage, whether it failed or was aborted, and under which name it goes out."""

from typing import Any, Final

import msgspec
import orjson
from msgspec import UNSET, Raw, UnsetType

from gateway.core.faults import states_error
from gateway.core.usage import StatedUsage, Usage

_NAMED: Final = b'"model":"'
"""How the model's name begins in vLLM's chat, completion, embedding, rerank and score answers, near their head."""

_HEAD_BYTES: Final = 1024
"""Where it is sought; before it vLLM writes the answer's id, which holds ours, and its kind."""

_BACKSLASH, _BRACKET, _BRACE = b"\\[{"


class UnreadableAnswerError(ValueError):
    """The bytes are not one whole JSON value."""


class Answer(msgspec.Struct, frozen=True):
    """What a whole answer states of itself.

    Attributes:
        usage: the backend's token counts, None when it states none.
        aborted: the backend gave the generation up (a shutdown) and sent what it had with status 200.
        failed: it is no answer but an error, whatever its status.
    """

    usage: Usage | None = None
    aborted: bool = False
    failed: bool = False


class _Choice(msgspec.Struct):
    finish_reason: str | None = None


class _Answer(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: StatedUsage | None = None
    error: Raw | UnsetType = UNSET
    object: str | None = None
    type: str | None = None
    status: str | None = None
    stop_reason: str | None = None


class _Loose(msgspec.Struct):
    """The same members of any type."""

    choices: Any = None
    error: Raw | UnsetType = UNSET
    object: Any = None
    type: Any = None
    status: Any = None
    stop_reason: Any = None


_answer = msgspec.json.Decoder(_Answer)
_loose = msgspec.json.Decoder(_Loose)
_anything = msgspec.json.Decoder(Raw)
_members = msgspec.json.Decoder(dict[str, Raw])


def read_answer(body: bytes) -> Answer:
    """Read usage and the signs of a failure, going through the whole of it once.

    What is of another type than vLLM's states nothing, and hides nothing that stands beside it. Aborts as vLLM spells
    them: `finish_reason` "abort" of a choice, `status` "cancelled" or "failed" of a response, `stop_reason` null of a
    message. Errors: a member `error`, or `"object": "error"` as vLLM spelled them before 0.10.

    Raises:
        UnreadableAnswerError: it is no JSON, or not a whole one.
    """
    try:
        answer = _answer.decode(body)
    except msgspec.ValidationError:
        answer = _of_another_shape(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UnreadableAnswerError from None
    aborted = False
    if answer.choices is not None:
        for choice in answer.choices:
            if choice.finish_reason == "abort":
                aborted = True
    elif answer.object == "response":
        aborted = answer.status in {"cancelled", "failed"}
    elif answer.type == "message":
        aborted = answer.stop_reason is None
    failed = answer.object == "error" or states_error(answer.error)
    return Answer(None if answer.usage is None else answer.usage.counts(), aborted, failed)


def _of_another_shape(body: bytes) -> _Answer:
    """The decoder stopped at a member of another type: the others are read all the same."""
    try:
        if not body.lstrip().startswith(b"{"):
            _anything.decode(body)
            return _Answer()
        loose = _loose.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UnreadableAnswerError from None
    choices = None
    if isinstance(loose.choices, list):
        choices = [_Choice(_text(choice.get("finish_reason"))) for choice in loose.choices if isinstance(choice, dict)]
    return _Answer(
        choices=choices,
        error=loose.error,
        object=_text(loose.object),
        type=_text(loose.type),
        status=_text(loose.status),
        stop_reason=_text(loose.stop_reason),
    )


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def rename_model(body: bytes, model: str) -> bytes:
    """Put `model` in place of the answer's top-level model name; an answer without one is returned unchanged."""
    renamed = rename_head(body, model)
    if renamed is not None:
        return renamed
    try:
        members = _members.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body
    if "model" not in members:
        return body
    members["model"] = Raw(orjson.dumps(model))
    return msgspec.json.encode(members)


def rename_head(beginning: bytes, model: str) -> bytes | None:
    """Do the same with the beginning of an answer alone, None where the name does not stand as vLLM writes it there."""
    before, _, rest = beginning[:_HEAD_BYTES].partition(_NAMED)
    name, quote, _ = rest.partition(b'"')
    # Behind an object or a list it could stand inside of one, and behind a backslash inside of a text.
    if not quote or _BACKSLASH in before or _BACKSLASH in name or _BRACKET in before or _BRACE in before[1:]:
        return None
    end = len(before) + len(_NAMED) + len(name) + 1
    return b"".join((before, b'"model":', orjson.dumps(model), memoryview(beginning)[end:]))
