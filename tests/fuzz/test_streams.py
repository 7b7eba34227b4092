"""Is a stream that is read in its fast ways read as it is where every event is taken apart? On damaged streams too."""

import itertools
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.endpoint import Dialect
from gateway.streaming.events import FailureReason, StreamFailure
from gateway.streaming.relay import StreamRelay
from gateway.streaming.usage import UsageCut
from tests.fuzz.damage import CUTS, LINE_BYTES, damaged, pieces, twisted
from tests.fuzz.effort import examples
from tests.streaming.test_relay_properties import BOUND, events, texts, usages
from tests.streaming.wire import DONE, MESSAGE_STOP, RESPONSE_USAGE, chunk, message_text, response_delta, response_event

WORDS = [
    *LINE_BYTES,
    *(b"\n\n", b"}", b"]", b"{", b"[", b'"', b",", b"\\", b"null", b"data: ", b"event: ", b": ping\n\n", b"[DONE]"),
    *(b'"error":{"code":500}', b',"error":"x"', b'"abort"', b'"finish_reason":"abort"', b'"model":"m"', b"}]}\n\n"),
    *(b'}],"usage":{', b',"usage":{"prompt_tokens":3,"completion_tokens":4}', b'"index":1', b'"object":"error"'),
]
TWISTS = [
    (b',"logprobs"', b',\r"logprobs"'),
    (b',"logprobs"', b',\n"logprobs"'),
    (b',"delta":', b', "delta" :'),
    (b"data: ", b"data:"),
    (b"data: ", b"foo: 1\ndata: "),
    (b"event: ", b"event:"),
    (b"event: ", b": "),
    (b":null}]", b':"abort"}]'),
    (b":null}]", b': "abort"}]'),
    (b":null}]", b':"\\u0061bort"}]'),
    (b":null}]", b':"odd"}]'),
    (b"}\n\n", b',"error":{"code":500}}\n\n'),
    (b"}\n\n", b',"error":null}\n\n'),
    (b"}\n\n", b"}}\n\n"),
    (b"}\n\n", b"\n\n"),
    (b"}\n\n", b"}\r\n\r\n"),
    (b"}\n\n", b"}\n"),
    (b"}\n\n", b"} \n\n"),
    (b"\n\n", b"\nid: 7\n\n"),
    (b"\n\n", b"\ndata: {}\n\n"),
    (b"}]}\n", b'}],"usage":null}\n'),
    (b"}]}\n", b'}],"usage":{}}\n'),
    (b"}]}\n", b'}],"usage":{"prompt_tokens":3,"x":{"y":1}}}\n'),
    (b"}]}\n", b'}],"usage":{"prompt_tokens":3},"z":1}\n'),
    (b"}]}\n", b'}],"usage":{"prompt_tokens":3}}}\n'),
    (b"}]}\n", b'}],"z":{}}\n'),
    (b'"index":0', b'"index":1'),
    (b'"index":0', b'"index":00'),
    (b'"object":"chat', b'"object":"error'),
    (b"1795", b"-1"),
    (b".delta", b".failed"),
]
"""Events of usual spelling that are not quite so, or say something else."""
NEVER = re.compile(rb"(?!)")
ENDS = {
    Dialect.OPENAI: (b"", b"[DONE]"),
    Dialect.RESPONSES: (b"response.completed", b""),
    Dialect.ANTHROPIC: (b"message_stop", b""),
}
DIALECTS = st.sampled_from(Dialect)
UTTERED = {
    Dialect.OPENAI: (st.builds(chunk, texts, usage=usages, index=st.sampled_from([0, 0, 0, 1])), DONE),
    Dialect.RESPONSES: (
        st.builds(response_delta, st.text(max_size=8)),
        response_event("completed", status="completed", usage=RESPONSE_USAGE),
    ),
    Dialect.ANTHROPIC: (st.builds(message_text, st.text(max_size=8)), MESSAGE_STOP),
}


class WithoutMemory(StreamRelay):
    """Recognises no event by how the last one began."""

    __slots__ = ()

    def feed_usual(self, data: bytes) -> bytes:
        del data
        return b""


class Judging(WithoutMemory):
    """Takes every event apart."""

    __slots__ = ()

    def __init__(self, dialect: Dialect, **options: Any) -> None:
        super().__init__(dialect, **options)
        self._grammar = replace(self._grammar, plain=NEVER)


@st.composite
def spoken(draw: st.DrawFn, dialect: Dialect) -> list[bytes]:
    """The events of a stream of that dialect, some of them damaged or not of it at all."""
    usual, end = UTTERED[dialect]
    odd = st.one_of(twisted(usual, TWISTS), twisted(usual, TWISTS, most=1), damaged(usual | events, WORDS))
    pairs = draw(st.lists(st.tuples(usual, usual | odd), max_size=4))  # each behind one that tells how it may begin
    return [*itertools.chain(*pairs), draw(st.sampled_from([end, end, end[:-1], b""]))]


Told = tuple[bytes, StreamFailure | None, object, int, bool]


def told(relay: StreamRelay, parts: Sequence[bytes]) -> Told:
    out = b"".join([relay.feed(part) for part in parts])
    return out, relay.finish(), relay.usage, relay.tokens, relay.ended


def read_by_the_standard(stream: bytes) -> list[tuple[bytes, bytes]]:
    """The events that a browser would see: name and data (HTML, section 9.2.6)."""
    found = []
    name, data = b"", list[bytes]()
    for line in re.split(rb"\r\n|\n|\r", stream):
        field, _, value = line.partition(b":")
        if not line:
            if data:
                found.append((name, b"\n".join(data)))
            name, data = b"", []
        elif field == b"event":
            name = value.removeprefix(b" ")
        elif field == b"data":
            data.append(value.removeprefix(b" "))
    return found


def parsed(stream: bytes) -> list[tuple[bytes, Any]]:
    """The same with its JSON taken apart; bytes that are no UTF-8 are compared as they are."""
    found = read_by_the_standard(stream)
    return [(name, data if data == b"[DONE]" else orjson.loads(data.decode("latin-1"))) for name, data in found]


def without_usage(found: list[tuple[bytes, Any]]) -> list[tuple[bytes, Any]]:
    """The same without the figures of the events themselves."""
    for _, data in found:
        if isinstance(data, dict):
            data.pop("usage", None)
    return found


@examples(300)
@given(
    st.data(),
    st.just(Dialect.OPENAI) | DIALECTS,
    st.sampled_from(UsageCut),
    st.sampled_from([None, "alias"]),
    CUTS,
    st.booleans(),
)
def test_what_is_recognised_passes_as_what_is_read_does_in_any_pieces(
    source: st.DataObject,
    dialect: Dialect,
    cut: UsageCut,
    model: str | None,
    cuts: list[int],
    whole: bool,  # noqa: FBT001 -- hypothesis gives arguments by position
) -> None:
    spoken_events = source.draw(spoken(dialect))
    stream = b"".join(spoken_events)
    options: dict[str, Any] = {"model": model, "cut_usage": cut, "max_event_bytes": BOUND}
    slowly = told(WithoutMemory(dialect, **options), [stream])
    assert told(StreamRelay(dialect, **options), spoken_events if whole else pieces(stream, cuts)) == slowly


@examples(200)
@given(st.data(), DIALECTS, CUTS)
def test_a_client_is_shown_the_beginning_of_what_was_sent_and_the_end_only_where_it_was(
    source: st.DataObject, dialect: Dialect, cuts: list[int]
) -> None:
    stream = b"".join(source.draw(spoken(dialect)))
    out, failure, *_ = told(StreamRelay(dialect, max_event_bytes=BOUND), pieces(stream, cuts))
    shown, sent = read_by_the_standard(out), read_by_the_standard(stream)
    if dialect is not Dialect.OPENAI:
        sent = [event for event in sent if event[1] != b"[DONE]"]
    assert shown == sent[: len(shown)]
    assert all(
        not line or line.split(b":")[0] in {b"", b"data", b"event", b"id", b"retry"} for line in out.split(b"\n")
    )
    if failure is None:
        name, data = ENDS[dialect]
        assert shown[-1][0].replace(b"incomplete", b"completed") == name
        assert not data or shown[-1][1] == data
    else:
        assert (b"", b"[DONE]") not in shown


@examples(200)
@given(st.data(), st.just(Dialect.OPENAI) | DIALECTS, st.sampled_from(UsageCut), CUTS)
def test_an_event_of_usual_spelling_passes_as_if_it_had_been_judged(
    source: st.DataObject, dialect: Dialect, cut: UsageCut, cuts: list[int]
) -> None:
    stream = b"".join(source.draw(spoken(dialect)))
    options: dict[str, Any] = {"model": "alias", "cut_usage": cut, "max_event_bytes": BOUND}
    out, failure, _, tokens, ended = told(StreamRelay(dialect, **options), pieces(stream, cuts))
    judged, verdict, _, counted, over = told(Judging(dialect, **options), [stream])
    # Figures that are spelled as no vLLM does are only seen where an event is taken apart.
    assert without_usage(parsed(out)) == without_usage(parsed(judged))
    assert (failure, ended) == (verdict, over)
    assert tokens == counted or (dialect is not Dialect.OPENAI and tokens > counted)  # by names that nobody sends


@examples(150)
@given(st.lists(damaged(events, WORDS) | st.binary(max_size=30), max_size=4), DIALECTS, CUTS)
def test_nothing_raises_and_a_stream_without_its_end_is_never_a_success(
    parts: list[bytes], dialect: Dialect, cuts: list[int]
) -> None:
    relay = StreamRelay(dialect, max_event_bytes=BOUND)
    out, failure, _, _, ended = told(relay, pieces(b"".join(parts), cuts))
    assert ended is (failure is None)
    assert isinstance(failure.reason, FailureReason) if failure else out
    assert relay.feed(b"data: {}\n\n") == b""
