"""What does a request ask for? The few fields of its JSON body that decide, read without building the rest.

The client's own bytes go on to the backend, so the reading must agree with the backend's: the last of duplicate keys
wins, null counts as absent, escaped key names are the same names, and numbers in strings pass as numbers.
"""

import re
from typing import Final, Literal

import msgspec
from msgspec import UNSET, Raw, UnsetType

from gateway.core.errors import BadRequestError, InvalidJsonError

Number = int | float | str | bool | None
"""How a whole number may be spelled: vLLM takes 2, 2.0, "2" and true."""

MAX_NUMBER_CHARS: Final = 20
"""A longer spelling of a whole number is out of range anyway, and int() of it would cost."""

MEDIA_TYPES: Final = frozenset(
    {
        "image",
        "image_url",
        "image_pil",
        "image_embeds",
        "input_image",
        "audio",
        "audio_url",
        "audio_embeds",
        "input_audio",
        "video",
        "video_url",
        "input_video",
        "document",
        "file",
        "input_file",
    }
)
"""Content part types that are no text, of all three dialects. A type that is not listed is the backend's to refuse."""

_MEDIA_HINT: Final = re.compile(rb"image|audio|video|document|file|\\u")
"""A body without any of these has no part of a media type; `\\u` because a key or type may be spelled with escapes."""

_WHOLE: Final = re.compile(r"\s*[+-]?\d+(?:\.0*)?\s*")
_SPACE: Final = b" \t\n\r"


class Peek(msgspec.Struct, frozen=True, kw_only=True):
    """What one request body asks for.

    Attributes:
        model: the name asked for; None when absent, null or empty, which vLLM serves all the same.
        stream: whether the answer is to be a stream.
        include_usage: `stream_options.include_usage`.
        continuous_usage: `stream_options.continuous_usage_stats`; without `include_usage` it has no effect at vLLM.
        max_tokens: the largest bound stated on the answer's length, in tokens; None when none is stated.
        n: choices per prompt.
        prompts: how many prompts (completions); a list of token numbers is one.
        inputs: how many inputs (embeddings), or items of a conversation (responses).
        documents: how many documents (rerank), or texts to compare (score).
        has_media: whether a message holds a part that is no text.
        has_tools: whether tools are offered.
        previous_response_id, background, store: whether the field asks for state kept at a server.
    """

    model: str | None = None
    stream: bool = False
    include_usage: bool = False
    continuous_usage: bool = False
    max_tokens: int | None = None
    n: int = 1
    prompts: int = 1
    inputs: int = 1
    documents: int = 0
    has_media: bool = False
    has_tools: bool = False
    previous_response_id: bool = False
    background: bool = False
    store: bool = False


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
    previous_response_id: str | None = None
    background: bool | None = None
    store: bool | None = None
    prompt: Raw | UnsetType = UNSET
    input: Raw | UnsetType = UNSET
    documents: Raw | UnsetType = UNSET
    text_2: Raw | UnsetType = UNSET
    messages: Raw | UnsetType = UNSET
    tools: Raw | UnsetType = UNSET


class _Part(msgspec.Struct):
    type: Raw | UnsetType = UNSET
    content: Raw | UnsetType = UNSET
    image_url: Raw | UnsetType = UNSET
    input_audio: Raw | UnsetType = UNSET
    audio_url: Raw | UnsetType = UNSET
    video_url: Raw | UnsetType = UNSET


_body = msgspec.json.Decoder(_Body)
_parts = msgspec.json.Decoder(list[Raw])
_part = msgspec.json.Decoder(_Part)
_string = msgspec.json.Decoder(str)


def peek(body: bytes) -> Peek:
    """Read the deciding fields of a request body.

    Raises:
        InvalidJsonError: `body` is no JSON object, is cut short, nests too deeply, or holds NaN or a lone surrogate
            where a JSON parser must notice.
        BadRequestError: a deciding field has a wrong type; `param` names it.
    """
    try:
        fields = _body.decode(body)
        return _digest(fields, body)
    except msgspec.ValidationError as error:
        raise _wrong_type(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidJsonError(f"The request body is not valid JSON: {error}.") from None
    except RecursionError:
        raise InvalidJsonError("The request body is nested too deeply.") from None


def _digest(fields: _Body, body: bytes) -> Peek:
    options = fields.stream_options
    return Peek(
        model=fields.model or None,
        stream=bool(fields.stream),
        include_usage=options is not None and bool(options.include_usage),
        continuous_usage=options is not None and bool(options.continuous_usage_stats),
        max_tokens=_max_tokens(fields),
        n=1 if fields.n is None else _whole(fields.n, "n"),
        prompts=_batch(fields.prompt),
        inputs=_batch(fields.input),
        documents=_items(fields.documents) or _items(fields.text_2),
        has_media=_has_media(fields, body),
        has_tools=_items(fields.tools) > 0,
        previous_response_id=bool(fields.previous_response_id),
        background=bool(fields.background),
        store=bool(fields.store),
    )


def _wrong_type(error: msgspec.ValidationError) -> BadRequestError:
    reason, _, place = str(error).partition(" - at `$")
    param = place.strip("`").lstrip(".")
    if not param:
        return InvalidJsonError(f"The request body must be a JSON object: {reason}.")
    return BadRequestError(f"{reason} for '{param}'.", param=param)


def _max_tokens(fields: _Body) -> int | None:
    stated = (
        ("max_tokens", fields.max_tokens),
        ("max_completion_tokens", fields.max_completion_tokens),
        ("max_output_tokens", fields.max_output_tokens),
    )
    bounds = [_whole(value, name) for name, value in stated if value is not None]
    return max(bounds, default=None)


def _whole(value: float | str, param: str) -> int:
    """A whole number in any of the spellings that vLLM's lax validation takes."""
    if isinstance(value, str):
        if len(value) <= MAX_NUMBER_CHARS and _WHOLE.fullmatch(value):
            return int(value.strip().partition(".")[0])
    elif isinstance(value, int) or value.is_integer():
        return int(value)
    raise BadRequestError(f"Expected a whole number for '{param}'.", param=param)


def _items(value: Raw | UnsetType) -> int:
    """How many items a list has; 0 for anything else."""
    if value is UNSET or not _is_list(bytes(value)):
        return 0
    return len(_parts.decode(value))


def _batch(value: Raw | UnsetType) -> int:
    """How many sequences a prompt or an input stands for: a list of token numbers is one."""
    if value is UNSET:
        return 1
    raw = bytes(value)
    if not _is_list(raw) or raw[1:].lstrip(_SPACE)[:1] in b"-0123456789":
        return 1
    return len(_parts.decode(value))


def _is_list(raw: bytes) -> bool:
    return raw.lstrip(_SPACE).startswith(b"[")


def _has_media(fields: _Body, body: bytes) -> bool:
    if _MEDIA_HINT.search(body) is None:
        return False
    return _media_within(fields.messages) or _media_within(fields.input)


def _media_within(value: Raw | UnsetType, depth: int = 0) -> bool:
    """Whether a list of messages or parts holds a media part; tool results nest parts once more."""
    if value is UNSET or depth > 2 or not _is_list(bytes(value)):
        return False
    return any(_is_media(part, depth) for part in map(_as_part, _parts.decode(value)) if part is not None)


def _as_part(raw: Raw) -> _Part | None:
    return _part.decode(raw) if bytes(raw).lstrip(_SPACE).startswith(b"{") else None


def _is_media(part: _Part, depth: int) -> bool:
    named: tuple[Literal["image_url", "input_audio", "audio_url", "video_url"], ...] = (
        "image_url",
        "input_audio",
        "audio_url",
        "video_url",
    )
    if any(getattr(part, name) is not UNSET for name in named):
        return True
    if part.type is not UNSET and bytes(part.type).startswith(b'"') and _string.decode(part.type) in MEDIA_TYPES:
        return True
    return _media_within(part.content, depth + 1)
