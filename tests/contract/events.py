"""Which events does a stream hold? Strict reading of server-sent events as vLLM writes them."""

from typing import Any, NamedTuple

import msgspec

DONE = "[DONE]"


class Event(NamedTuple):
    """One event: its name, None where the dialect uses none, and its data, decoded unless it is `[DONE]`."""

    name: str | None
    data: Any


def events(text: str) -> list[Event]:
    """All events of a whole stream. ValueError where the framing is not vLLM's: `event: x`, `data: y`, a blank line."""
    blocks = text.split("\n\n")
    if blocks.pop() != "":
        raise ValueError(f"the stream does not end with a blank line: {text[-80:]!r}")
    return [_event(block) for block in blocks]


def _event(block: str) -> Event:
    first, newline, rest = block.partition("\n")
    if newline:
        if not first.startswith("event: "):
            raise ValueError(f"an event of two lines does not begin with its name: {block[:80]!r}")
        return Event(first.removeprefix("event: "), _data(rest))
    return Event(None, _data(first))


def _data(line: str) -> Any:
    if not line.startswith("data: ") or "\n" in line:
        raise ValueError(f"not one line of data: {line[:80]!r}")
    data = line.removeprefix("data: ")
    return DONE if data == DONE else msgspec.json.decode(data)
