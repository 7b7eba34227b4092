"""Which texts does a body hold? A request's, an answer's, a stream's pieces put together; each one cleaned.

What is no text is left out: lists of numbers, as embeddings and token ids are, pictures, and log probabilities, in
which a text stands token by token, where nobody would recognise what is in it.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec
from msgspec import Struct

from gateway.audit.escapes import unescaped

Clean = Callable[[str], str]
"""Takes out of a text what nobody may read."""

MAX_DEPTH: Final = 64
"""Of values within values; what lies deeper is left out."""
MAX_BITS: Final = 63
"""Of a whole number that a line of JSON can hold."""
EXACT: Final = 2.0**53
"""A float that is greater has lost digits; one with as many as a card's may have been one."""
CARD: Final = 1e19
"""Has more digits than any card."""
CUT_CHARACTERS: Final = 320
"""Left out where a text was cut: they may be the first half of something that is known by its whole."""
NO_TEXT: Final = frozenset({"logprobs", "prompt_logprobs", "token_ids", "prompt_token_ids", "embedding", "b64_json"})
NO_PART: Final = NO_TEXT | {"index", "type", "role", "id", "object"}
"""Of a piece of a stream: what it is, no part of the text."""

_DATA_URL = re.compile(r"data:[\w.+/-]{0,80};base64,")


Found = defaultdict[str, list[str]]
"""Pieces of texts by their place."""


class _Choice(Struct):
    """As chat and completions have them."""

    index: int = 0
    delta: Any = None
    text: str | None = None


class _Event(Struct):
    """What events of all dialects say, as far as it is text or says which."""

    choices: list[_Choice] = []
    delta: Any = None
    type: str = ""
    output_index: int | None = None
    content_index: int | None = None
    index: int | None = None


_decode = msgspec.json.Decoder(_Event).decode


def body_texts(body: bytes, clean: Clean, *, cut: bool) -> Any:  # noqa: ANN401 -- JSON as it came
    """A body as JSON with its texts cleaned, or as one text where it is no JSON, or not all of it is there."""
    if not body:
        return None
    if not cut:
        try:
            return _cleaned(msgspec.json.decode(body), clean, MAX_DEPTH)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            pass
    text = unescaped(body.decode("utf-8", "replace"))
    return clean(_shortened(text) if cut else text)


def stream_texts(body: bytes, clean: Clean, *, cut: bool) -> dict[str, str]:
    """The texts of an event stream, each under its place: `0.content` is the first choice's.

    Choices, tool calls and blocks are told apart by their `index`, as their dialect numbers them.
    """
    found: Found = defaultdict(list)
    for event in _events(body):
        _gather(event, found)
    texts = {place: "".join(pieces) for place, pieces in found.items()}
    return {place: clean(_shortened(text) if cut else text) for place, text in texts.items()}


def _cleaned(value: Any, clean: Clean, depth: int) -> Any:  # noqa: ANN401 -- any JSON
    cleaned: Any = value
    match value:
        case str():
            cleaned = "[data]" if _DATA_URL.match(value) else clean(value)
        case int() if not isinstance(value, bool):
            cleaned = _number(value, clean)
        case float():
            cleaned = _fraction(value, clean)
        case dict() | list() if not depth:
            cleaned = "[too deep]"
        case dict():
            kept = {name: one for name, one in value.items() if name not in NO_TEXT}
            cleaned = {clean(name): _cleaned(one, clean, depth - 1) for name, one in kept.items()}
        case list() if value and all(isinstance(one, int | float) for one in value):
            cleaned = f"[{len(value)} numbers]"
        case list():
            cleaned = [_cleaned(one, clean, depth - 1) for one in value]
    return cleaned


def _number(value: int, clean: Clean) -> int | str:
    """A whole number, unless it is a card's or a phone's."""
    if value.bit_length() > MAX_BITS:
        return "[number]"
    shown = str(value)
    cleaned = clean(shown)
    return value if cleaned == shown else cleaned


def _fraction(value: float, clean: Clean) -> float | str:
    """A number with a point, unless it is whole and a card's: `4111111111111111.0`."""
    if not value.is_integer() or not -CARD < value < CARD:
        return value
    if abs(value) > EXACT:
        return "[number]"
    cleaned = _number(int(value), clean)
    return cleaned if isinstance(cleaned, str) else value


def _events(body: bytes) -> Iterator[_Event]:
    """What the stream's events say; one that was cut, or is none of a dialect, says nothing."""
    for line in body.split(b"\n"):
        if line.startswith(b"data:"):
            try:
                event = _decode(line[len(b"data:") :])
            except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
                continue
            yield event


def _gather(event: _Event, found: Found) -> None:
    """Add the pieces of one event, in any of the dialects, each to those of its place."""
    for choice in event.choices:
        if choice.text is not None:
            _add(f"{choice.index}.text", choice.text, found)
        else:
            _add(str(choice.index), choice.delta, found)
    if event.delta is not None:
        numbers = (event.output_index, event.content_index, event.index)
        place = ".".join(str(number) for number in numbers if number is not None)
        kind = event.type.removeprefix("response.").removesuffix(".delta")
        _add(f"{place}.{kind}" if isinstance(event.delta, str) else place, event.delta, found)


def _add(place: str, value: Any, found: Found, depth: int = MAX_DEPTH) -> None:  # noqa: ANN401 -- any JSON
    if isinstance(value, str):
        found[place].append(value)
    elif isinstance(value, dict) and depth:
        for name, one in value.items():
            if name not in NO_PART:
                _add(f"{place}.{name}", one, found, depth - 1)
    elif isinstance(value, list) and depth:
        for position, one in enumerate(value):
            index = one.get("index", position) if isinstance(one, dict) else position
            _add(f"{place}.{index}", one, found, depth - 1)


def _shortened(text: str) -> str:
    return text[:-CUT_CHARACTERS]
