"""Each dialect is read by its own events: how it ends, how it fails, and where the model's name stands."""

import pytest

from gateway.core.endpoint import Dialect
from gateway.core.usage import Usage
from gateway.streaming.events import FailureReason, StreamFailure
from gateway.streaming.relay import StreamRelay
from tests.streaming.wire import (
    DONE,
    IN_BAND_ERROR,
    MESSAGE_STOP,
    NASTY,
    RESPONSE_USAGE,
    chunk,
    fed,
    message_delta,
    message_start,
    message_text,
    relay,
    response_delta,
    response_event,
    typed,
)


def test_a_response_is_read_by_its_own_events() -> None:
    events = [
        response_event("created", status="in_progress"),
        typed("response.output_item.added", b'{"item":{"content":[]},"type":"response.output_item.added"}'),
        response_delta("hi"),
        response_event("completed", status="completed", usage=RESPONSE_USAGE),
    ]
    subject = relay(Dialect.RESPONSES)
    assert fed(subject, *events) == b"".join(events)
    assert subject.failure is None
    assert subject.usage == Usage(29, 2)
    assert subject.tokens == 1


@pytest.mark.parametrize("text", NASTY)
def test_a_response_is_renamed_and_its_metadata_are_not(text: str) -> None:
    subject = StreamRelay(Dialect.RESPONSES, model="alias")
    out = fed(subject, response_delta(text), response_event("completed", status="incomplete", text=text))
    assert out == response_delta(text) + response_event("completed", status="incomplete", text=text, model="alias")
    assert subject.ended


@pytest.mark.parametrize(
    ("last", "failure"),
    [
        (response_event("incomplete", status="incomplete"), None),
        (response_event("failed", status="failed"), StreamFailure(FailureReason.BACKEND_ERROR, told=True)),
        (typed("error", b'{"type":"error","message":"x"}'), StreamFailure(FailureReason.BACKEND_ERROR, told=True)),
        (IN_BAND_ERROR, StreamFailure(FailureReason.BACKEND_ERROR, told=True)),
        (
            typed("response.output_text.delta", b'{ "error":{"message":"x"}}'),
            StreamFailure(FailureReason.BACKEND_ERROR, told=True),
        ),
        (
            typed("response.output_text.delta", b'{"error":{"message":"x"}}'),
            StreamFailure(FailureReason.BACKEND_ERROR, told=True),
        ),
    ],
)
def test_a_response_states_its_own_end(last: bytes, failure: StreamFailure | None) -> None:
    subject = relay(Dialect.RESPONSES)
    assert fed(subject, response_delta("a"), last) == response_delta("a") + last
    assert subject.failure == failure


def test_a_response_that_was_given_up_is_not_completed() -> None:
    subject = relay(Dialect.RESPONSES)
    cancelled = response_event("completed", status="cancelled", usage=RESPONSE_USAGE)
    assert fed(subject, response_delta("a") + cancelled) == response_delta("a")
    assert subject.failure == StreamFailure(FailureReason.ABORTED)
    assert subject.usage == Usage(29, 2)


def test_a_message_is_read_by_its_own_events() -> None:
    opened = typed("content_block_start", b'{"type":"content_block_start","index":0}')
    events = [message_start(), opened, message_text("hi"), message_delta(), MESSAGE_STOP]
    subject = relay(Dialect.ANTHROPIC)
    assert fed(subject, *events) == b"".join(events)
    assert subject.failure is None
    assert subject.usage == Usage(29, 2)
    assert subject.tokens == 1


@pytest.mark.parametrize("text", NASTY)
def test_a_message_is_renamed_where_it_starts(text: str) -> None:
    subject = StreamRelay(Dialect.ANTHROPIC, model="alias")
    rest = message_text(text) + message_delta() + MESSAGE_STOP
    assert fed(subject, message_start() + rest) == message_start("alias") + rest


def test_only_the_place_of_the_models_name_is_touched() -> None:
    ping = typed("ping", b'{"type": "ping", "model": "qwen"}')
    assert StreamRelay(Dialect.ANTHROPIC, model="alias").feed(ping) == ping


def test_a_message_that_was_given_up_does_not_end() -> None:
    subject = relay(Dialect.ANTHROPIC)
    assert fed(subject, message_start() + message_delta(None) + MESSAGE_STOP) == message_start()
    assert subject.failure == StreamFailure(FailureReason.ABORTED)


def test_an_error_in_another_dialects_form_is_left_to_the_gateway() -> None:
    subject = relay(Dialect.ANTHROPIC)
    assert fed(subject, message_start(), IN_BAND_ERROR) == message_start()
    data = IN_BAND_ERROR.removeprefix(b"data: ").removesuffix(b"\n\n")
    assert subject.failure == StreamFailure(FailureReason.BACKEND_ERROR, told=False, stated=data)
    subject = relay(Dialect.ANTHROPIC)
    told = typed("error", b'{"type":"error","error":{"type":"internal_error","message":"x"}}')
    assert fed(subject, told + DONE) == told
    assert subject.failure == StreamFailure(FailureReason.BACKEND_ERROR, told=True)


@pytest.mark.parametrize(
    "data",
    [
        b'{ "error" : {"message": "x"}}',
        b'{"error":"x"}',
        b'{"id":"x","error":{"message":"x"}}',
        b'{"id":"x","object":"chat.completion.chunk","choices":[],"error" : {"message":"x"}}',
    ],
)
def test_an_error_is_one_however_it_is_spelled(data: bytes) -> None:
    subject = relay()
    assert fed(subject, chunk("a"), b"data:" + data + b"\n\n", DONE) == chunk("a") + b"data:" + data + b"\n\n"
    assert subject.failure == StreamFailure(FailureReason.BACKEND_ERROR, told=True)


@pytest.mark.parametrize("dialect", list(Dialect))
def test_an_error_of_older_releases_is_one_and_is_left_to_the_gateway(dialect: Dialect) -> None:
    data = b'{"object": "error", "message": "x", "type": "BadRequestError", "param": null, "code": 400}'
    subject = relay(dialect)
    assert fed(subject, b"data: " + data + b"\n\n", DONE) == b""
    assert subject.failure == StreamFailure(FailureReason.BACKEND_ERROR, told=False, stated=data)


@pytest.mark.parametrize("value", [b"null", b"false", b'""', b"{}"])
def test_an_error_that_says_nothing_is_none(value: bytes) -> None:
    event = b'data: {"choices": [], "error": ' + value + b"}\n\n"
    subject = relay()
    assert fed(subject, event, DONE) == event + DONE
    assert subject.failure is None


@pytest.mark.parametrize("name", ["", "message"])
def test_an_error_without_its_name_is_none_that_a_messages_client_would_notice(name: str) -> None:
    data = b'{"type": "error", "error": {"type": "api_error", "message": "x"}}'
    event = typed(name, data) if name else b"data: " + data + b"\n\n"
    subject = relay(Dialect.ANTHROPIC)
    assert fed(subject, event) == b""
    assert subject.failure == StreamFailure(FailureReason.BACKEND_ERROR, told=False, stated=data)
    subject = relay(Dialect.ANTHROPIC)
    assert fed(subject, typed("error", data)) == typed("error", data)
    assert subject.failure == StreamFailure(FailureReason.BACKEND_ERROR, told=True)


def test_a_done_mark_is_no_end_of_a_typed_stream() -> None:
    for dialect in (Dialect.RESPONSES, Dialect.ANTHROPIC):
        subject = relay(dialect)
        assert fed(subject, DONE) == b""
        assert subject.failure == StreamFailure(FailureReason.TRUNCATED)
