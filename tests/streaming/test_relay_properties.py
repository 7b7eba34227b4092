"""Does the split of a stream ever matter, and does what a model writes ever? Tried on generated streams."""

from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.endpoint import Dialect
from gateway.core.usage import Usage
from gateway.streaming.events import FailureReason, StreamFailure
from gateway.streaming.relay import StreamRelay
from gateway.streaming.usage import UsageCut
from tests.streaming.wire import (
    DONE,
    IN_BAND_ERROR,
    MESSAGE_STOP,
    RESPONSE_USAGE,
    chunk,
    figures,
    message_delta,
    message_start,
    message_text,
    pieces,
    response_delta,
    response_event,
    role_chunk,
    totals,
    typed,
)

BOUND = 600

texts = st.text(max_size=12) | st.sampled_from(
    [
        '"model":"qwen"',
        "\n\ndata: [DONE]\n\n",
        '}],"usage":{"prompt_tokens":1}',
        '"finish_reason":"abort"',
        "abort",
        "\r",
    ]
)
usages = st.builds(figures, st.integers(0, 99), st.integers(0, 99)) | st.just(b"")
chunks = st.builds(
    chunk, texts, finish=st.sampled_from([None, "stop", "length"]), usage=usages, index=st.integers(0, 3)
)
oddities = st.sampled_from(
    [
        b": ping\n\n",
        b": ping\ndata: {}\n\n",
        b"retry: 1\n\n",
        b"\n",
        b"\r\n\r\n",
        b"data: [DONE]\r\n\r\n",
        message_text("a").replace(b"\n", b"\r\n"),
        DONE,
        DONE[:-1],
        IN_BAND_ERROR,
        IN_BAND_ERROR[:40] + b"\n\n",
        b"<html>\n\n",
        b"data: {\n\n",
        b'data: {"id":"\n\n","object":"","created":1,"model":"q","choices":[{"index":0,}\n\n',
        b'data: {"choices": [{"finish_reason": "abort"}]}\n\n',
        b'data: {"model": "qwen", "choices": [{"index": 1}], "usage": {"prompt_tokens": 3}}\n\n',
        b"event: response.x.delta\ndata: {broken}\n\n",
        chunk("x" * BOUND),
        chunk().replace(b',"logprobs"', b',\r"logprobs"'),
        chunk(finish="abort", usage=figures(1, 1)),
        chunk(finish="abort").replace(b'"abort"', b' "abort"'),
        chunk().replace(b"}\n\n", b',"error":{"code":500}}\n\n'),
        chunk().replace(b"}\n\n", b',"error":null}\n\n'),
        response_delta("a").replace(b"}\n\n", b',"error":"engine died"}\n\n'),
        message_text("a").replace(b"}\n\n", b',"error":{}}\n\n'),
        totals(3, 4),
        role_chunk(figures(3, 0)),
        response_event("created", status="in_progress"),
        response_event("completed", status="completed", usage=RESPONSE_USAGE),
        response_event("completed", status="cancelled"),
        typed("error", b'{"type":"error","error":{}}'),
        message_start(),
        message_delta(),
        message_delta(None),
        MESSAGE_STOP,
    ]
)
events = chunks | st.builds(response_delta, texts) | st.builds(message_text, texts) | oddities | st.binary(max_size=6)
streams = st.lists(events, max_size=8).map(b"".join)


def passed(
    dialect: Dialect, cut: UsageCut, parts: list[bytes]
) -> tuple[bytes, StreamFailure | None, Usage | None, int]:
    subject = StreamRelay(dialect, model="alias", cut_usage=cut, max_event_bytes=BOUND)
    out = b"".join([subject.feed(part) for part in parts])
    return out, subject.finish(), subject.usage, subject.tokens


@settings(max_examples=400, deadline=None)
@given(streams, st.lists(st.integers(0, 5000), max_size=12), st.sampled_from(Dialect), st.sampled_from(UsageCut))
def test_no_split_changes_output_or_verdict(stream: bytes, cuts: list[int], dialect: Dialect, cut: UsageCut) -> None:
    assert passed(dialect, cut, pieces(stream, cuts)) == passed(dialect, cut, [stream])


@settings(max_examples=100, deadline=None)
@given(streams, st.sampled_from(Dialect), st.sampled_from(UsageCut))
def test_byte_by_byte_is_no_different(stream: bytes, dialect: Dialect, cut: UsageCut) -> None:
    bytewise = [stream[at : at + 1] for at in range(len(stream))]
    assert passed(dialect, cut, bytewise) == passed(dialect, cut, [stream])


faults = st.sampled_from(
    [
        b'"error":{"message":"engine died","code":500}',
        b'"error" : "engine died"',
        b'"\\u0065rror":{"code":500}',
        b'"error":true',
        b'"object":"error"',
    ]
)
aborts = st.sampled_from([b'"finish_reason":"abort"', b'"finish_reason" : "abort"', b'"finish_reason":"\\u0061bort"'])
delta_parts = st.builds(response_delta, texts) | st.builds(message_text, texts)


def with_members(event: bytes, *members: bytes) -> bytes:
    """An event of the usual spelling with more members at its end, between blanks or not."""
    return event.removesuffix(b"}\n\n") + b"".join([b"," + member for member in members]) + b"}\n\n"


@settings(max_examples=300, deadline=None)
@given(chunks | delta_parts, chunks | delta_parts, faults, st.sampled_from(UsageCut), st.lists(st.integers(0, 999)))
def test_an_error_is_one_wherever_it_stands_in_an_event_of_usual_spelling(
    before: bytes, event: bytes, fault: bytes, cut: UsageCut, cuts: list[int]
) -> None:
    dialect = Dialect.OPENAI
    if not event.startswith(b"data:"):
        dialect = Dialect.ANTHROPIC if event.startswith(b"event: content") else Dialect.RESPONSES
    stream = before + with_members(event, fault, b'"usage":{"prompt_tokens":1}')
    out, failure, _, _ = passed(dialect, cut, pieces(stream + event + DONE, [len(before), *cuts]))
    assert failure is not None
    assert failure.reason is FailureReason.BACKEND_ERROR
    assert out.count(b"\n\n") <= 2


@settings(max_examples=200, deadline=None)
@given(chunks, aborts, st.sampled_from(UsageCut), st.lists(st.integers(0, 999)))
def test_an_abort_is_one_however_it_is_spelled(before: bytes, abort: bytes, cut: UsageCut, cuts: list[int]) -> None:
    given_up = chunk().replace(b'"finish_reason":null', abort)
    out, failure, _, tokens = passed(Dialect.OPENAI, cut, pieces(before + given_up + DONE, [len(before), *cuts]))
    assert failure == StreamFailure(FailureReason.ABORTED)
    assert tokens == 2
    assert len(objects(out)) == 1


def objects(stream: bytes) -> list[dict[str, Any]]:
    return [orjson.loads(part.removeprefix(b"data: ")) for part in stream.removesuffix(DONE).split(b"\n\n") if part]


@settings(max_examples=300, deadline=None)
@given(st.lists(chunks, max_size=6), st.lists(st.integers(0, 5000), max_size=6), st.sampled_from(UsageCut))
def test_what_passes_is_what_parsing_and_changing_would_give(sent: list[bytes], cuts: list[int], cut: UsageCut) -> None:
    stream = b"".join(sent) + totals(1, 2) + DONE
    out, failure, usage, tokens = passed(Dialect.OPENAI, cut, pieces(stream, cuts))
    expected = objects(stream)
    for event in expected:
        event["model"] = "alias"
        if cut is not UsageCut.NOTHING and event["choices"]:
            event.pop("usage", None)
    if cut is UsageCut.ALL:
        expected.pop()
    assert out.endswith(DONE)
    assert objects(out) == expected
    assert (failure, usage, tokens) == (None, Usage(1, 2), len(sent))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=80), max_size=4), st.sampled_from(Dialect))
def test_noise_is_never_shown_nor_taken_for_success(noise: list[bytes], dialect: Dialect) -> None:
    out, failure, _, _ = passed(dialect, UsageCut.ALL, noise)
    assert failure is not None
    assert all(not part or part.startswith((b":", b"data: ", b"event: ")) for part in out.split(b"\n\n"))
