"""Which trace is a request part of? What its client's `traceparent` and `tracestate` say, where they are valid."""

import re
from typing import Final, NamedTuple

from gateway.core.asgi import Fields, Headers

NAME: Final = b"traceparent"
STATE_NAME: Final = b"tracestate"

TRACEPARENT: Final = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
"""As every version of it begins (W3C Trace Context, section 3.2); ids of zeros alone are invalid, capitals too."""
TRACE_ID: Final = slice(3, 35)
SPAN_ID: Final = slice(36, 52)
FLAGS: Final = slice(53, 55)
OF_VERSION_0: Final = 55
"""Bytes. That version ends there; a later one may go on behind a further dash."""
MAX_BYTES: Final = 512
"""A longer field goes no further: a `tracestate` of so many should (3.3.1.5), and no later `traceparent` is known."""
PLAIN: Final = re.compile(rb"[\x20-\x7e]+")
MEMBER: Final = re.compile(
    rb"(?:[a-z][_0-9a-z\-*/]{0,255}|[a-z0-9][_0-9a-z\-*/]{0,240}@[a-z][_0-9a-z\-*/]{0,13})"
    rb"=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
)
"""One of a `tracestate`'s list (section 3.3.1.3), without the blanks around it."""
MAX_MEMBERS: Final = 32
SAMPLED: Final = 0x01


class Parent(NamedTuple):
    """The client's span, under which ours stand.

    Attributes:
        trace_id: 32 hex digits.
        span_id: 16 of them.
        sampled: whether the client records it.
    """

    trace_id: str
    span_id: str
    sampled: bool


def parent_of(traceparent: bytes) -> Parent | None:
    """What the field says; None: it is not valid, and as if it were not there."""
    trace_id = trace_id_of(traceparent)
    if trace_id is None:
        return None
    sampled = bool(int(traceparent[FLAGS], 16) & SAMPLED)
    return Parent(trace_id, traceparent[SPAN_ID].decode("ascii"), sampled)


def trace_id_of(traceparent: bytes) -> str | None:
    """The trace's 32 hex digits; None: the field is not valid."""
    if TRACEPARENT.match(traceparent) is None:
        return None
    if len(traceparent) != OF_VERSION_0 and not _may_go_on(traceparent):
        return None
    return traceparent[TRACE_ID].decode("ascii")


def _may_go_on(traceparent: bytes) -> bool:
    """Whether it is of a later version, which has more to say behind what we know."""
    more = traceparent[OF_VERSION_0:]
    plain = more.startswith(b"-") and PLAIN.fullmatch(more) is not None
    return plain and len(traceparent) <= MAX_BYTES and not traceparent.startswith(b"00")


def state_of(fields: Fields) -> bytes:
    """The `tracestate` that goes with a valid `traceparent`; empty where there is none that may go on.

    A list with one mistake in it is none (section 3.3.1): the library that exports it would log the mistake's text.
    """
    state = fields.get(STATE_NAME, b"")
    if not state or len(state) > MAX_BYTES:
        return b""
    members = [member for part in state.split(b",") if (member := part.strip(b" \t"))]
    keys = {member.partition(b"=")[0] for member in members}
    sound = len(keys) == len(members) <= MAX_MEMBERS and all(MEMBER.fullmatch(member) for member in members)
    return state if sound and members else b""


def passed_on(fields: Fields) -> Headers:
    """What a backend is told of a trace in which this gateway records nothing: what the client said, as it said it.

    Args:
        fields: of a request whose `traceparent` is valid.
    """
    state = state_of(fields)
    return [(NAME, fields[NAME]), (STATE_NAME, state)] if state else [(NAME, fields[NAME])]
