"""What is one event of a stream? Its name and its data, or the reason why it is none."""

from enum import StrEnum
from typing import Final, NamedTuple

_FIELDS: Final = (b":", b"data:", b"event:", b"id:", b"retry:")
_SILENT: Final = frozenset({b"", b"id", b"retry"})


class FailureReason(StrEnum):
    """Why a stream did not end well, as one word for logs and metrics."""

    BACKEND_ERROR = "backend_error"
    """The backend stated an error inside the stream."""
    ABORTED = "aborted"
    """The backend gave the generation up, as vLLM does when it is shut down."""
    MALFORMED = "malformed"
    """Bytes that are no event of this dialect: HTML, cut JSON."""
    OVERSIZED = "oversized"
    """An event over the bound, or one that never ends."""
    TRUNCATED = "truncated"
    """The stream ended without its dialect's last event."""


class StreamFailure(NamedTuple):
    """A stream that must not look like a success.

    Attributes:
        reason: what happened.
        told: the backend's own error event went to the client in the dialect's form; nothing more is to be said.
        stated: the data of the backend's error event that was not passed on, for its words.
    """

    reason: FailureReason
    told: bool = False
    stated: bytes = b""


class Event(NamedTuple):
    """One event: the value of its `event:` line, empty without one, and of its only `data:` line."""

    name: bytes
    data: bytes


class MalformedEventError(ValueError):
    """The bytes between two blank lines are no event that vLLM sends."""


def read_event(raw: bytes) -> Event | None:
    """Take one event apart; None when it has no data. `raw` has no blank line and ends without a line end.

    Comments are skipped. Stricter than the specification, which ignores unknown fields and joins several data lines:
    vLLM sends neither, and what is ignored here would be shown to the client.

    Raises:
        MalformedEventError: a line is no field of an event, or a second line of data.
    """
    name, data = b"", None
    for line in raw.split(b"\n"):
        field, colon, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if not colon or (field == b"data" and data is not None):
            raise MalformedEventError
        if field == b"data":
            data = value
        elif field == b"event":
            name = value
        elif field not in _SILENT:
            raise MalformedEventError
    return None if data is None else Event(name, data)


def is_comment(raw: bytes) -> bool:
    """Whether an event without data consists of comments alone (`: ping`)."""
    return all(line.startswith(b":") for line in raw.split(b"\n"))


def begins_as_event(part: bytes) -> bool:
    """Whether the beginning of an unfinished event can become one; nothing at all can."""
    line = part.removeprefix(b"\n")
    return any(line.startswith(field[: len(line)]) for field in _FIELDS)
