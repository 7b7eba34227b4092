"""What does a request ask for? The few fields of its JSON body that decide, read without building the rest.

The client's own bytes go on to the backend, so the reading must agree with the backend's: the last of duplicate keys
wins, null counts as absent, escaped key names are the same names, and numbers in strings pass as numbers.
"""

import itertools
import re
from typing import Final

import msgspec
from msgspec import UNSET, Raw, UnsetType

from gateway.core.errors import BadRequestError, InvalidJsonError
from gateway.payload.lists import as_bytes, count_batch, count_items, has_media

Number = int | float | str | bool | None
"""How a whole number may be spelled: vLLM takes 2, 2.0, "2" and true."""

MAX_WHOLE: Final = 2**63 - 1
"""No count is larger; Python would print and multiply longer ones at a cost."""

MAX_WHOLE_CHARS: Final = 40
"""No count is spelled longer, in a text."""

_WHOLE: Final = re.compile(r"\s*[+-]?[0-9]{1,18}(?:\.0*)?\s*")

LARGE_BYTES: Final = 1024 * 1024
"""Bodies above it may have no more than `MAX_MEMBERS`, so that no time goes into looking each of millions up."""

MAX_MEMBERS: Final = 256
"""Members of a large body's object, repeated ones included; no dialect has a quarter of them."""

_BOUNDS: Final = ("max_tokens", "max_completion_tokens", "max_output_tokens")


class Peek(msgspec.Struct, frozen=True, kw_only=True):
    """What one request body asks for.

    Attributes:
        model: the name asked for; None when absent, null or empty, which vLLM serves all the same.
        stream: whether the answer is to be a stream.
        include_usage: `stream_options.include_usage`.
        continuous_usage: `stream_options.continuous_usage_stats`; without `include_usage` it has no effect at vLLM.
        max_tokens: the largest bound stated on the answer's length, in tokens; None when none is stated.
        n: choices per prompt.
        temperature: as it is spelled; None when absent.
        prompts: how many prompts (completions); a list of token numbers is one.
        inputs: how many inputs (embeddings), or items of a conversation (responses).
        documents: how many documents (rerank), or texts to compare (score).
        has_media: whether a message holds a part that is no text.
        previous_response_id: whether an earlier response is to be continued.
        background: whether the answer is to be made while nobody waits.
        store: whether the answer is to be kept.
        has_tools: whether it states tools, of whatever sort.
    """

    model: str | None = None
    stream: bool = False
    include_usage: bool = False
    continuous_usage: bool = False
    max_tokens: int | None = None
    n: int = 1
    temperature: Number = None
    prompts: int = 1
    inputs: int = 1
    documents: int = 0
    has_media: bool = False
    previous_response_id: bool = False
    background: bool = False
    store: bool = False
    has_tools: bool = False


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None
    continuous_usage_stats: bool | None = None


class _Body(msgspec.Struct):
    model: str | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    max_tokens: Number = None
    max_completion_tokens: Number = None
    max_output_tokens: Number = None
    n: Number = None
    temperature: Number = None
    previous_response_id: str | None = None
    background: bool | None = None
    store: bool | None = None
    prompt: Raw | UnsetType = UNSET
    input: Raw | UnsetType = UNSET
    documents: Raw | UnsetType = UNSET
    text_1: Raw | UnsetType = UNSET
    text_2: Raw | UnsetType = UNSET
    queries: Raw | UnsetType = UNSET
    messages: Raw | UnsetType = UNSET
    tools: Raw | UnsetType = UNSET


_LISTS: Final = ("prompt", "input", "documents", "text_1", "text_2", "queries", "messages", "tools")
"""The members of a body that are kept as they stand; all others decide by their value."""

_SCALARS: Final = tuple(name for name in _Body.__struct_fields__ if name not in _LISTS)


class _Name(str):
    """A member's name that was counted."""

    __slots__ = ()


_body = msgspec.json.Decoder(_Body)


def peek(body: bytes) -> Peek:
    """Read the deciding fields of a request body.

    Raises:
        InvalidJsonError: `body` is empty, no JSON object or cut short, nests too deeply (about 1,000 levels), holds NaN
            or a lone surrogate, or a deciding text is not UTF-8.
        BadRequestError: a deciding field has a wrong type, and `param` names it; or a large body has too many members.
    """
    try:
        return _digest(_body.decode(body) if len(body) <= LARGE_BYTES else _decode_large(body), body)
    except msgspec.ValidationError as error:
        raise _wrong_type(error) from None
    except UnicodeDecodeError:
        raise InvalidJsonError("The request body is not valid UTF-8.") from None
    except msgspec.DecodeError as error:
        if not body.strip():
            raise InvalidJsonError("The request body is empty.") from None
        raise InvalidJsonError(f"The request body is not valid JSON: {error}.") from None
    except RecursionError:
        raise InvalidJsonError("The request body is nested too deeply.") from None


def _decode_large(body: bytes) -> _Body:
    """The same as `_body.decode` for an object of no more than `MAX_MEMBERS`; reading ends at the next one."""
    count = itertools.count(1)

    def counted(_: type, name: str) -> _Name:
        if next(count) > MAX_MEMBERS:
            raise BadRequestError(f"The request body's object may have {MAX_MEMBERS} members at the most.")
        return _Name(name)

    members = {
        str(name): value for name, value in msgspec.json.decode(body, type=dict[_Name, Raw], dec_hook=counted).items()
    }
    fields = _body.decode(msgspec.json.encode({name: members[name] for name in _SCALARS if name in members}))
    for name in _LISTS:
        if name in members:
            setattr(fields, name, members[name])
    return fields


def _digest(fields: _Body, body: bytes) -> Peek:
    options = fields.stream_options
    return Peek(
        model=fields.model or None,
        stream=fields.stream is True,
        include_usage=options is not None and options.include_usage is True,
        continuous_usage=options is not None and options.continuous_usage_stats is True,
        max_tokens=_max_tokens(fields),
        n=1 if fields.n is None else _whole(fields.n, "n"),
        temperature=fields.temperature,
        prompts=1 if fields.prompt is UNSET else count_batch(bytes(fields.prompt)),
        inputs=1 if fields.input is UNSET else count_batch(bytes(fields.input)),
        documents=0 if fields.documents is fields.text_1 is fields.queries is UNSET else _documents(fields),
        # Parts stand in a list inside of another: without a second bracket the messages need not be copied out. Which
        # of the two is read depends on the path: a conversation under the other name must not hide this one.
        has_media=body.rfind(b"[") > body.find(b"[")
        and (has_media(as_bytes(fields.messages)) or has_media(as_bytes(fields.input))),
        previous_response_id=fields.previous_response_id is not None and fields.previous_response_id != "",
        background=fields.background is True,
        store=fields.store is True,
        has_tools=fields.tools is not UNSET and bytes(fields.tools) != b"null",
    )


def _wrong_type(error: msgspec.ValidationError) -> BadRequestError:
    reason, _, place = str(error).partition(" - at `$")
    param = place.strip("`").lstrip(".")
    if not param:
        return InvalidJsonError(f"The request body must be a JSON object: {reason}.")
    return BadRequestError(f"Invalid value for '{param}': {reason}.", param=param)


def _documents(fields: _Body) -> int:
    """The longest list that a pooling request compares: each of its items is a run of the model."""
    lists = (fields.documents, fields.text_1, fields.text_2, fields.queries)
    return max(count_items(as_bytes(value)) for value in lists)


def _max_tokens(fields: _Body) -> int | None:
    if fields.max_completion_tokens is None and fields.max_output_tokens is None:  # as nearly always
        return None if fields.max_tokens is None else _whole(fields.max_tokens, "max_tokens")
    stated = ((name, getattr(fields, name)) for name in _BOUNDS)
    return max(_whole(value, name) for name, value in stated if value is not None)


def _whole(value: float | str, param: str) -> int:
    """A whole number in any of the spellings that vLLM's lax validation takes."""
    if type(value) is int:
        if -MAX_WHOLE <= value <= MAX_WHOLE:
            return value
    elif isinstance(value, str):
        if len(value) <= MAX_WHOLE_CHARS and _WHOLE.fullmatch(value):
            return int(value.partition(".")[0])
    elif abs(value) <= MAX_WHOLE and value == int(value):
        return int(value)
    raise BadRequestError(f"Invalid value for '{param}': expected a whole number.", param=param)
