"""Does a stream pass whole, and never look better than it was?"""

import orjson
import pytest

from gateway.core.endpoint import Dialect
from gateway.core.usage import Usage
from gateway.streaming.events import FailureReason, StreamFailure
from gateway.streaming.relay import StreamRelay
from gateway.streaming.usage import UsageCut
from tests.streaming.wire import (
    DONE,
    HEAD,
    IN_BAND_ERROR,
    MESSAGE_STOP,
    NASTY,
    chunk,
    fed,
    figures,
    message_delta,
    message_start,
    message_text,
    relay,
    response_event,
    role_chunk,
    totals,
    typed,
)


def whole_stream() -> list[bytes]:
    usages = [figures(29, count) for count in range(3)]
    return [
        role_chunk(usages[0]),
        chunk("a", usage=usages[1]),
        chunk("b", finish="stop", usage=usages[2]),
        totals(29, 2),
        DONE,
    ]


def test_a_stream_passes_byte_for_byte() -> None:
    events = [role_chunk(), chunk("a"), chunk("b", finish="stop"), DONE]
    subject = relay()
    assert [subject.feed(event) for event in events] == events
    assert subject.ended
    assert subject.finish() is None
    assert subject.tokens == 3


@pytest.mark.parametrize("text", NASTY)
def test_what_a_model_writes_is_never_misread(text: str) -> None:
    subject = StreamRelay(Dialect.OPENAI, model="alias", cut_usage=UsageCut.ALL)
    out = fed(subject, chunk(text, usage=figures(1, 1)), DONE)
    assert subject.failure is None
    event, done = out.split(b"\n\n")[:2]
    data = orjson.loads(event.removeprefix(b"data: "))
    assert data["choices"][0]["delta"]["content"] == text
    assert data["model"] == "alias"
    assert "usage" not in data
    assert done == b"data: [DONE]"


def test_several_events_in_one_chunk_and_one_event_in_several() -> None:
    events = whole_stream()
    subject = relay()
    assert subject.feed(b"".join(events[:2]) + events[2][:50]) == b"".join(events[:2])
    assert subject.feed(events[2][50:60]) == b""
    assert subject.feed(events[2][60:] + events[3]) == events[2] + events[3]


def test_nothing_that_was_asked_for_is_cut() -> None:
    assert fed(relay(), *whole_stream()) == b"".join(whole_stream())


def test_only_the_totals_stay_for_include_usage_alone() -> None:
    subject = StreamRelay(Dialect.OPENAI, cut_usage=UsageCut.EVENTS)
    expected = [role_chunk(), chunk("a"), chunk("b", finish="stop"), totals(29, 2), DONE]
    assert fed(subject, *whole_stream()) == b"".join(expected)
    assert subject.usage == Usage(29, 2)


def test_no_figures_stay_for_a_client_that_asked_for_none() -> None:
    subject = StreamRelay(Dialect.OPENAI, cut_usage=UsageCut.ALL)
    assert fed(subject, *whole_stream()) == role_chunk() + chunk("a") + chunk("b", finish="stop") + DONE
    assert subject.usage == Usage(29, 2)


def test_nested_details_are_cut_with_the_figures() -> None:
    usage = b',"usage":{"prompt_tokens":5,"prompt_tokens_details":{"cached_tokens":4},"completion_tokens":1}'
    subject = StreamRelay(Dialect.OPENAI, cut_usage=UsageCut.ALL)
    assert subject.feed(chunk("a", usage=usage)) == chunk("a")
    assert subject.usage == Usage(5, 1)


def test_a_stream_that_was_cut_short_knows_its_tokens() -> None:
    subject = relay()
    fed(subject, role_chunk(figures(29, 0)), chunk("a", usage=figures(29, 7)), chunk("b", usage=figures(29, 8))[:90])
    assert subject.usage == Usage(29, 7)
    assert subject.failure == StreamFailure(FailureReason.TRUNCATED)


def test_a_message_that_was_cut_short_has_cost_its_prompt_and_a_token_for_each_event_with_text() -> None:
    subject = StreamRelay(Dialect.ANTHROPIC)
    fed(subject, message_start(), *(message_text(text) for text in "abc"), message_text("d")[:40])
    assert subject.usage == Usage(29, 3)
    assert subject.failure == StreamFailure(FailureReason.TRUNCATED)


def test_of_a_message_that_has_ended_its_own_figures_count() -> None:
    subject = StreamRelay(Dialect.ANTHROPIC)
    fed(subject, message_start(), message_text("a"), message_delta(), MESSAGE_STOP)
    assert subject.usage is not None
    assert (subject.usage.completion_tokens, subject.tokens) == (2, 1)


def test_several_choices_and_prompts_add_up() -> None:
    subject = StreamRelay(Dialect.OPENAI, choices_per_prompt=2)
    for index, (prompt, completion) in enumerate([(3, 5), (3, 6), (4, 7), (4, 8)]):
        subject.feed(chunk("a", index=index, usage=figures(prompt, 1)))
        subject.feed(chunk("a", index=index, usage=figures(prompt, completion)))
    assert subject.usage == Usage(7, 26)


def test_an_answer_without_figures_has_no_usage() -> None:
    subject = relay()
    fed(subject, chunk(), DONE)
    assert subject.usage is None


def test_an_event_of_another_spelling_is_renamed_and_cut_too() -> None:
    spaced = b'data: {"model": "qwen", "choices": [{"index": 0, "finish_reason": null}], "usage": {"prompt_tokens": 4}}'
    subject = StreamRelay(Dialect.OPENAI, model="alias", cut_usage=UsageCut.ALL)
    out = subject.feed(spaced + b"\n\n")
    assert orjson.loads(out.removeprefix(b"data: ")) == {
        "model": "alias",
        "choices": [{"index": 0, "finish_reason": None}],
    }
    assert subject.usage == Usage(4, 0)
    assert subject.tokens == 1


def test_the_totals_are_renamed_too() -> None:
    subject = StreamRelay(Dialect.OPENAI, model='a "b"')
    assert orjson.loads(subject.feed(totals(1, 1)).removeprefix(b"data: "))["model"] == 'a "b"'


def test_an_in_band_error_passes_and_the_end_does_not() -> None:
    subject = relay()
    assert fed(subject, chunk(), IN_BAND_ERROR + DONE) == chunk() + IN_BAND_ERROR
    assert subject.failure == StreamFailure(FailureReason.BACKEND_ERROR, told=True)
    assert not subject.ended


@pytest.mark.parametrize(
    "abort",
    [
        chunk("c", finish="abort", usage=figures(29, 9)),
        b'data: {"choices": [{"index": 0, "finish_reason": "abort"}], "usage": {"prompt_tokens": 29}}\n\n',
    ],
)
def test_an_abort_is_a_failure_that_has_not_been_told(abort: bytes) -> None:
    subject = relay()
    assert fed(subject, chunk() + abort + DONE) == chunk()
    assert subject.failure == StreamFailure(FailureReason.ABORTED)
    assert subject.usage is not None


def test_an_end_without_the_last_event_is_a_failure() -> None:
    subject = relay()
    assert fed(subject, chunk(finish="stop")) == chunk(finish="stop")
    assert subject.failure == StreamFailure(FailureReason.TRUNCATED)


def test_an_empty_stream_is_a_failure() -> None:
    assert relay().finish() == StreamFailure(FailureReason.TRUNCATED)


@pytest.mark.parametrize(
    "broken",
    [
        b"<html><body>502</body></html>\n\n",
        b"<html>\n<body>502</body></html>",
        b'{"detail":"Not Found"}\n\n',
        b'{"detail":"Not Found"}',
        b"Internal Server Error",
        b"data: <html>\n\n",
        b'data: {"id":"chatcmpl-1","choi\n\n',
        b'data: {%b,"choices":[{"index":0,"delta":{"con\n\n' % HEAD,
        b'data: "text"\n\n',
        b"data:\n\n",
        b'data: {"error": {"message"\n\n',
        b'data: {"error": {"message"}}\n\n',
        b'data: {%b,"choices":[{"index":0,"delta":{"content":"a}}]}\n\n' % HEAD,
        b'data: {%b,"choices":[{"index":0,"delta":{"content":"a"}]}\n\n' % HEAD,
        b'data: {%b,"choices":[{"index":0,"a":%b}]}\n\n' % (HEAD, b"[" * 5000 + b"]" * 5000),
        b'data: {"id":"\n\n","object":"","created":1,"model":"q","choices":[{"index":0,}\n\n',
        chunk().replace(b',"logprobs"', b',\r"logprobs"'),
        b'data: {"a":1}\ndata: {"b":2}\n\n',
        b'data: {"choices":[{{}\n\n',
        b'event: x\nevil: y\ndata: {"choices":[]}\n\n',
    ],
)
def test_what_is_no_event_is_not_shown(broken: bytes) -> None:
    subject = relay()
    assert fed(subject, chunk() + broken + DONE) == chunk()
    assert subject.failure == StreamFailure(FailureReason.MALFORMED)


@pytest.mark.parametrize("dialect", [Dialect.RESPONSES, Dialect.ANTHROPIC])
@pytest.mark.parametrize("name", ["response.output_text.delta", "content_block_delta", "ping", "error"])
@pytest.mark.parametrize("data", [b"<html>", b'{"delta":"a}', b'{"delta":{"text":"a"}', b'{"type":"error","a":[}'])
def test_broken_data_of_a_typed_event_are_not_shown(dialect: Dialect, name: str, data: bytes) -> None:
    subject = relay(dialect)
    assert fed(subject, typed(name, data)) == b""
    assert subject.failure == StreamFailure(FailureReason.MALFORMED)


@pytest.mark.parametrize("page", [b"<html>\n<body>502</body></html>", b'{"detail":"Not Found"}', b"Bad Gateway"])
def test_an_unfinished_page_is_no_unfinished_event(page: bytes) -> None:
    subject = relay()
    assert fed(subject, page) == b""
    assert subject.failure == StreamFailure(FailureReason.MALFORMED)


def test_comments_pass_and_are_no_progress() -> None:
    subject = relay()
    assert subject.feed(b": keep-alive\n\n") == b": keep-alive\n\n"
    assert subject.feed(b": ping\n\n" + chunk() + b": ping\n\n") == b": ping\n\n" + chunk() + b": ping\n\n"
    assert subject.tokens == 1


@pytest.mark.parametrize("silent", [b"retry: 10\n\n", b"id: 1\n\n", b"event: x\n\n"])
def test_fields_without_data_go_no_further(silent: bytes) -> None:
    subject = relay()
    assert fed(subject, silent, chunk(), DONE) == chunk() + DONE
    assert subject.failure is None


@pytest.mark.parametrize("line_end", [b"\r\n", b"\r"])
def test_other_line_ends_mean_the_same(line_end: bytes) -> None:
    stream = b"".join(whole_stream())
    subject = relay()
    assert fed(subject, stream.replace(b"\n", line_end)) == stream
    assert subject.failure is None


def test_a_carriage_return_ends_a_line_also_in_an_event_alone_in_its_chunk() -> None:
    subject = relay()
    assert subject.feed(chunk().replace(b',"logprobs"', b',\r"logprobs"')) == b""
    assert subject.failure == StreamFailure(FailureReason.MALFORMED)


def test_a_pair_of_line_ends_may_be_torn() -> None:
    subject = relay()
    event = chunk().replace(b"\n", b"\r\n")
    assert subject.feed(event[:-1]) == chunk()
    assert subject.feed(b"\n") == b""
    assert subject.feed(DONE) == DONE


def test_a_pair_of_line_ends_may_be_torn_inside_an_event() -> None:
    subject = relay(Dialect.ANTHROPIC)
    event = message_text("hi").replace(b"\n", b"\r\n")
    place = event.index(b"\n")
    assert subject.feed(event[:place]) == b""
    assert subject.feed(event[place:]) == message_text("hi")


def test_after_the_last_event_nothing_more_passes() -> None:
    subject = relay()
    assert fed(subject, chunk() + DONE + chunk() + DONE, chunk(), b"<html>") == chunk() + DONE
    assert subject.failure is None


def test_after_a_failure_nothing_more_passes() -> None:
    subject = relay()
    assert fed(subject, IN_BAND_ERROR, chunk(), DONE) == IN_BAND_ERROR
    assert not subject.ended


@pytest.mark.parametrize("step", [7, 4096, 100_000])
def test_an_event_that_never_ends_is_held_within_its_bound(step: int) -> None:
    subject = StreamRelay(Dialect.OPENAI, max_event_bytes=4096)
    stream = chunk() + chunk("x" * 50_000) + DONE
    out = b""
    most = 0
    for start in range(0, len(stream), step):
        out += subject.feed(stream[start : start + step])
        most = max(most, len(subject._held))
    assert out == chunk()
    assert subject.failure == StreamFailure(FailureReason.OVERSIZED)
    assert most <= 4096


def test_an_event_at_its_bound_passes() -> None:
    exact = chunk("x" * 500)
    assert StreamRelay(Dialect.OPENAI, max_event_bytes=len(exact) - 2).feed(exact) == exact
    assert fed(StreamRelay(Dialect.OPENAI, max_event_bytes=len(exact) - 2), exact[:-1], b"\n") == exact
    assert StreamRelay(Dialect.OPENAI, max_event_bytes=len(exact) - 3).feed(exact) == b""


@pytest.mark.parametrize("together", [False, True], ids=["one by one", "at once"])
@pytest.mark.parametrize("reason", ["stop", "length", "tool_calls"])
def test_why_the_model_ended_is_known_at_the_end(reason: str, *, together: bool) -> None:
    subject = relay()
    events = [role_chunk(), chunk("a"), chunk("b")]
    for event in events:
        subject.feed(event)
        assert subject.finish_reason is None
    rest = [chunk("c", finish=reason), totals(29, 3), DONE]
    fed(subject, b"".join(rest)) if together else fed(subject, *rest)
    assert subject.finish_reason == reason


def test_why_a_stream_of_one_chunk_ended_is_known_too() -> None:
    subject = relay()
    fed(subject, chunk("a", finish="length"), DONE)
    assert subject.finish_reason == "length"


def test_of_several_choices_it_is_the_last_ones_reason() -> None:
    subject = relay()
    fed(subject, chunk("a", finish="stop"), chunk("b", index=1), chunk("c", index=1, finish="length"), DONE)
    assert subject.finish_reason == "length"


def test_a_reason_that_is_spelled_in_an_odd_way_is_read_too() -> None:
    subject = relay()
    fed(subject, chunk("a"), chunk("b", finish="length").replace(b'{"id"', b'{ "id"'), DONE)
    assert subject.finish_reason == "length"


def test_other_dialects_say_it_in_their_own_words() -> None:
    message = relay(Dialect.ANTHROPIC)
    fed(message, message_start(), message_text("a"), message_delta("max_tokens"), MESSAGE_STOP)
    assert message.finish_reason == "length"
    for status, reason in (("incomplete", "length"), ("completed", None)):
        response = relay(Dialect.RESPONSES)
        fed(response, response_event(status, status=status))
        assert response.ended
        assert response.finish_reason == reason
