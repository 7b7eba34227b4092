"""How much stands in a body's lists, and is any of it no text? Answered within bounded work, whatever is sent."""

import re
from typing import Final

import msgspec
from msgspec import UNSET, Raw, UnsetType

MAX_COUNTED: Final = 16_384
"""Items up to which any list is taken apart, and up to which any is counted."""

UNCOUNTED: Final = MAX_COUNTED + 1
"""What stands for more, and for a long list of items that are neither texts nor lists."""

MAX_PARTS: Final = 4_096
"""Objects up to which messages are taken apart in search of media, about 2 us each; where there are more, or more
commas than `MAX_COUNTED`, the names of media alone are sought, wherever they stand."""

SEARCHED_BYTES: Final = 65_536
"""Messages up to this size are searched for the names of media first: up to ten searches, which above it cost more than
taking the messages apart."""

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

_PART_SIGNS: Final = (b'"type"', b'_url"', b'"input_audio"', b"\\u")
"""Where none of these stands, no object has a member that would make it media, however that is spelled. Messages whose
contents are texts have none; a text that quotes JSON has a backslash before the second quote."""

_MEDIA_HINTS: Final = (b'"image', b'"input_', b'"audio', b'"video', b'"file', b'"document', b"\\u00")
"""Where none of these stands, there is no media part; the last one begins every letter that is spelled as an escape."""

_MEDIA_NAMES: Final = tuple(b'"%b"' % kind.encode() for kind in sorted(MEDIA_TYPES) if "_" in kind)
"""A text that quotes JSON has a backslash before each second quote, and so holds none of these."""

_MEDIA_TYPED: Final = re.compile(
    rb'"type"\s*:\s*"(?:%b)"' % b"|".join(kind.encode() for kind in sorted(MEDIA_TYPES) if "_" not in kind)
)
"""The others are words that a tool may well have for its arguments' names."""

_ESCAPED_LETTERS: Final = (b"\\u004", b"\\u005", b"\\u006", b"\\u007")
"""ASCII's letters and `_`, which no library escapes: with them a name may be hidden."""

_MAX_DEPTH: Final = 2
"""Parts are a message's content, and the content of a tool's result is parts again."""


class _Part(msgspec.Struct):
    type: Raw | UnsetType = UNSET
    content: Raw | UnsetType = UNSET
    image_url: Raw | UnsetType = UNSET
    input_audio: Raw | UnsetType = UNSET
    audio_url: Raw | UnsetType = UNSET
    video_url: Raw | UnsetType = UNSET

    def is_media(self) -> bool:
        """Whether it is no text; vLLM infers a missing type from the member's name."""
        if not self.image_url is self.input_audio is self.audio_url is self.video_url is UNSET:
            return True
        if self.type is UNSET:
            return False
        kind = bytes(self.type)
        return kind[:1] == b'"' and _string.decode(kind) in MEDIA_TYPES


_items = msgspec.json.Decoder(list[Raw])
_texts = msgspec.json.Decoder(list[str])
_parts = msgspec.json.Decoder(list[_Part | str])
_string = msgspec.json.Decoder(str)


def as_bytes(value: Raw | UnsetType) -> bytes:
    """The text of a member, empty when it is absent; msgspec leaves no space around it."""
    return b"" if value is UNSET else bytes(value)


def count_items(raw: bytes) -> int:
    """How many items a JSON list has, 0 for anything else.

    A list of more than `MAX_COUNTED` is `UNCOUNTED`, and so is one of as many commas that holds neither texts alone nor
    lists: nobody asks this fleet to embed, rank or complete anything else.
    """
    if not raw.startswith(b"["):
        return 0
    if len(raw) <= 2 * MAX_COUNTED or raw.count(b",") < MAX_COUNTED:  # an item and its comma are two bytes
        return len(_items.decode(raw))
    return min(_count_long(raw), UNCOUNTED)


def count_batch(raw: bytes) -> int:
    """How many sequences a prompt or an input stands for: a text is one, and so is a list of token numbers."""
    if raw.startswith(b"[") and _first(raw) not in b"-0123456789":
        return count_items(raw)
    return 1


def has_media(raw: bytes) -> bool:
    """Whether a list of messages, or of a response's input items, holds a part that is no text.

    Whoever finds a part that this misses has a backend that reads pictures fetch an address of his choice. So what is
    too much to be taken apart counts as media where the name of one stands in it alone between quotes.
    """
    if raw[:1] != b"[" or raw.find(b"[", 1) < 0 or _first(raw) != b"{":
        return False  # parts stand in a list inside a message; where no other bracket is, all contents are texts
    if len(raw) <= SEARCHED_BYTES and not (_has_any(raw, _PART_SIGNS) and _has_any(raw, _MEDIA_HINTS)):
        return False
    if raw.count(b"{") > MAX_PARTS or raw.count(b",") > MAX_COUNTED:
        return _has_any(raw, _MEDIA_HINTS) and _names_media(raw)
    return _holds_media(raw, _MAX_DEPTH)


def _names_media(raw: bytes) -> bool:
    """Whether the name of a media part stands in it alone between quotes, or a letter that may be hiding one."""
    return _has_any(raw, _MEDIA_NAMES) or _has_any(raw, _ESCAPED_LETTERS) or _MEDIA_TYPED.search(raw) is not None


def _has_any(raw: bytes, signs: tuple[bytes, ...]) -> bool:
    """Whether one of the signs stands in it; CPython 3.11's `in` takes twice as long as `find` on a short text."""
    for sign in signs:  # noqa: SIM110 -- a generator adds a third to the searches
        if raw.find(sign) >= 0:
            return True
    return False


def _first(raw: bytes) -> bytes:
    """The first byte of a list's first item; the closing bracket of an empty one."""
    return (raw[1:64].lstrip() or raw[1:].lstrip())[:1]


def _count_long(raw: bytes) -> int:
    """A list of many commas, of which most may stand inside its items.

    Each look is one pass of C over the bytes, and nothing is built before its number is bounded: the quote that opens
    a text is never behind a backslash, so there are no more texts than other quotes. The decoder of texts stops at
    the first item that is none, so that an item without such a sign is not built either.
    """
    first = _first(raw)
    if first == b"[":  # of token numbers, which hold no bracket
        return raw.count(b"[") - 1
    if first != b'"' or raw.count(b'"') - raw.count(b'\\"') > 2 * MAX_COUNTED:
        return UNCOUNTED
    try:
        return len(_texts.decode(raw))
    except msgspec.ValidationError:
        return UNCOUNTED


def _holds_media(raw: bytes, depth: int) -> bool:
    """Whether the objects of a list are media, or have a list of such as their content, that many levels deep."""
    try:
        parts = _parts.decode(raw)
    except msgspec.ValidationError:
        return False  # not all of them are objects and texts: no message of any dialect
    for part in parts:
        if isinstance(part, str):  # as good as a part of type `text`
            continue
        if part.is_media():
            return True
        if depth and part.content is not UNSET:
            content = bytes(part.content)
            # Cheaper than `startswith`, and nearly all contents are texts.
            if content[:1] == b"[" and _holds_media(content, depth - 1):
                return True
    return False
