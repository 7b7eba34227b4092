"""What does /v1/chat/completions answer, whole and in chunks?"""

from typing import Any

import pytest

from tests.contract.answers import (
    CONTEXT_CHARACTERS,
    CONTEXT_TOKENS,
    FAR_TOO_LONG,
    MESSAGES,
    TOO_LONG,
    invalid,
    no_such_model,
    refused,
)
from tests.contract.chat_shapes import (
    CHOICE,
    COMPLETION,
    COUNTED,
    FINISH,
    FINISH_CHUNK,
    HEAD,
    ROLE_CHUNK,
    SIGNED,
    TEXT_CHUNK,
    USAGE_CHUNK,
)
from tests.contract.events import DONE, events
from tests.contract.roles import against
from tests.contract.server import Server
from tests.contract.shapes import assert_shape, fits

PATH = "/v1/chat/completions"
BODY: dict[str, Any] = {"model": "qwen", "messages": MESSAGES, "max_tokens": 6}


def chunks(server: Server, **fields: Any) -> list[Any]:
    """The chunks of a stream before its `[DONE]`."""
    *found, done = server.events(PATH, BODY | fields)
    assert done.data == DONE
    assert all(event.name is None for event in found)
    assert len({(chunk.data["id"], chunk.data["created"]) for chunk in found}) == 1
    return [event.data for event in found]


@against("chat")
def test_a_whole_answer(server: Server) -> None:
    answer = server.post(PATH, BODY).json()
    assert_shape(answer, COMPLETION)
    usage = answer["usage"]
    assert usage["completion_tokens"] == 6
    assert usage["total_tokens"] == usage["prompt_tokens"] + 6


@against("chat")
def test_n_choices_share_one_usage(server: Server) -> None:
    answer = server.post(PATH, BODY | {"n": 2}).json()
    assert_shape(answer, COMPLETION | {"choices": (CHOICE, CHOICE)})
    assert [choice["index"] for choice in answer["choices"]] == [0, 1]
    assert answer["usage"]["completion_tokens"] == 12


@against("chat")
def test_a_stream_without_options_has_no_usage_and_a_fingerprint_at_its_finish(server: Server) -> None:
    role, *texts, finish = chunks(server)
    assert_shape(role, ROLE_CHUNK)
    assert_shape(texts, [TEXT_CHUNK])
    assert_shape(finish, FINISH_CHUNK | SIGNED)


@against("chat")
def test_include_usage_adds_one_chunk_that_takes_the_fingerprint(server: Server) -> None:
    role, *texts, finish, usage = chunks(server, stream_options={"include_usage": True})
    assert_shape(role, ROLE_CHUNK)
    assert_shape(texts, [TEXT_CHUNK])
    assert_shape(finish, FINISH_CHUNK)
    assert_shape(usage, USAGE_CHUNK)
    assert usage["usage"]["completion_tokens"] == 6


@against("chat")
def test_continuous_usage_counts_on_every_chunk(server: Server) -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    role, *texts, finish, usage = chunks(server, stream_options=options)
    assert_shape(role, ROLE_CHUNK | COUNTED)
    assert_shape(texts, [TEXT_CHUNK | COUNTED])
    assert_shape(finish, FINISH_CHUNK | COUNTED)
    assert_shape(usage, USAGE_CHUNK)
    counts = [chunk["usage"]["completion_tokens"] for chunk in (role, *texts, finish, usage)]
    assert (counts[0], counts[-2:]) == (0, [6, 6])
    assert counts == sorted(counts)
    assert all(
        chunk["usage"]["total_tokens"] - chunk["usage"]["prompt_tokens"] == count
        for chunk, count in zip((role, *texts, finish, usage), counts, strict=True)
    )


@against("chat")
@pytest.mark.parametrize(
    "options", [{"continuous_usage_stats": True}, {"include_usage": False, "continuous_usage_stats": True}, {}, None]
)
def test_other_stream_options_bring_no_usage(server: Server, options: dict[str, bool] | None) -> None:
    assert all("usage" not in chunk for chunk in chunks(server, stream_options=options))


@against("chat")
def test_two_choices_are_interleaved_and_each_finishes(server: Server) -> None:
    first, second, *rest = chunks(server, n=2)
    assert_shape([first, second], [ROLE_CHUNK])
    assert [chunk["choices"][0]["index"] for chunk in (first, second)] == [0, 1]
    finishes = [chunk for chunk in rest if chunk["choices"][0]["finish_reason"]]
    assert_shape(finishes, [FINISH_CHUNK | SIGNED])
    assert sorted(chunk["choices"][0]["index"] for chunk in finishes) == [0, 1]


@against("chat")
def test_two_choices_have_one_usage_chunk(server: Server) -> None:
    *_, usage = found = chunks(server, n=2, stream_options={"include_usage": True})
    assert_shape(usage, USAGE_CHUNK)
    assert usage["usage"]["completion_tokens"] == 12
    assert sum("usage" in chunk for chunk in found) == 1


@against("flagged")
def test_a_stream_interval_puts_several_tokens_into_a_chunk(server: Server) -> None:
    *found, usage = chunks(server, max_tokens=40)
    assert usage["usage"]["completion_tokens"] == 40
    assert 10 <= len(found) <= 13


@against("flagged")
def test_forced_usage_counts_on_every_chunk_unasked(server: Server) -> None:
    *found, usage = chunks(server)
    assert_shape([chunk["usage"] for chunk in found], [COUNTED["usage"]])
    assert_shape(usage, USAGE_CHUNK)


@against("chat")
def test_a_stop_string_ends_the_answer_and_is_named(server: Server) -> None:
    answer = server.post(PATH, BODY | {"max_tokens": 400, "stop": [" "]}).json()
    stopped = CHOICE | {"finish_reason": "stop", "stop_reason": " "}
    assert_shape(answer, COMPLETION | {"choices": (stopped,)})
    assert " " not in answer["choices"][0]["message"]["content"]


@against("chat")
def test_a_stop_string_is_named_in_the_last_chunk(server: Server) -> None:
    *_, finish = chunks(server, max_tokens=400, stop=[" "])
    stopped = FINISH | {"finish_reason": "stop", "stop_reason": " "}
    assert_shape(finish, HEAD | SIGNED | {"choices": (stopped,)})


@against("chat")
def test_logprobs_come_per_token(server: Server) -> None:
    answer = server.post(PATH, BODY | {"logprobs": True, "top_logprobs": 1, "max_tokens": 2}).json()
    entry = {"token": str, "logprob": float, "bytes": list}
    found = answer["choices"][0]["logprobs"]
    assert_shape(found, {"content": ({**entry, "top_logprobs": [entry]}, {**entry, "top_logprobs": [entry]})})


@against("chat")
@pytest.mark.parametrize("model", [{}, {"model": None}, {"model": ""}])
def test_without_a_model_the_servers_own_answers(server: Server, model: dict[str, str | None]) -> None:
    answer = server.post(PATH, {"messages": MESSAGES, "max_tokens": 1} | model)
    assert (answer.status_code, answer.json()["model"]) == (200, "qwen")


@against("chat")
@pytest.mark.parametrize("stream", [False, True])
def test_an_unknown_model_is_404_before_any_stream(server: Server, *, stream: bool) -> None:
    answer = server.post(PATH, BODY | {"model": "nope", "stream": stream})
    assert (answer.status_code, answer.json()) == (404, no_such_model("qwen"))
    assert answer.headers["content-type"] == "application/json"


@against("chat")
@pytest.mark.parametrize(
    "fields",
    [
        {"max_tokens": "2"},
        {"max_tokens": None, "max_completion_tokens": 2},
        {"stream": None},
        {"n": None},
        {"priority": 3},
        {"cache_salt": "abc"},
        {"messages": [{"role": "wizard", "content": "hi"}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]},
        {"response_format": {"type": "json_object"}},
        {"stop": "zzz"},
        {"user": "somebody", "metadata": {"a": "b"}, "store": True},
    ],
)
def test_what_is_accepted(server: Server, fields: dict[str, Any]) -> None:
    answer = server.post(PATH, BODY | fields)
    assert (answer.status_code, answer.json()["object"]) == (200, "chat.completion")


@against("chat")
def test_max_completion_tokens_goes_before_max_tokens(server: Server) -> None:
    answer = server.post(PATH, BODY | {"max_tokens": 5, "max_completion_tokens": 2})
    assert answer.json()["usage"]["completion_tokens"] == 2


@against("chat")
@pytest.mark.parametrize("limit", [8192, None], ids=["the whole context", "no limit"])
def test_an_answer_ends_with_the_context(server: Server, limit: int | None) -> None:
    prompt = [{"role": "user", "content": "hello " * 8130}]
    body = BODY | {"messages": prompt, "max_tokens": limit, "ignore_eos": True}
    usage = server.post(PATH, body).json()["usage"]
    assert usage["total_tokens"] == 8192
    assert 0 < usage["completion_tokens"] < 200


@against("chat")
@pytest.mark.parametrize(
    ("fields", "message", "param"),
    [
        ({"max_tokens": 0}, "max_tokens must be at least 1, got 0. (parameter=max_tokens, value=0)", "max_tokens"),
        (
            {"temperature": -1},
            "temperature must be non-negative, got -1.0. (parameter=temperature, value=-1.0)",
            "temperature",
        ),
        (
            {"temperature": 3},
            "temperature must be in [0, 2], got 3.0. (parameter=temperature, value=3.0)",
            "temperature",
        ),
        ({"top_p": 2}, "top_p must be in (0, 1], got 2.0. (parameter=top_p, value=2.0)", "top_p"),
        ({"n": 0}, "n must be at least 1, got 0.", None),
        (
            {"max_tokens": 8193},
            (
                "max_tokens=8193 cannot be greater than max_model_len=8192. Please request fewer output tokens. "
                "(parameter=max_tokens, value=8193)"
            ),
            "max_tokens",
        ),
        (
            {"messages": []},
            "Cannot apply chat template to an empty conversation. Provide at least one message.",
            None,
        ),
        (
            {"cache_salt": ""},
            "Parameter 'cache_salt' must be a non-empty string if provided. (parameter=cache_salt)",
            "cache_salt",
        ),
        (
            {"stream": False, "stream_options": {"include_usage": True}},
            "Stream options can only be defined when `stream=True`. (parameter=stream_options)",
            "stream_options",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]},
            "qwen is not a multimodal model",
            None,
        ),
        ({"messages": [{"role": "user", "content": TOO_LONG}]}, CONTEXT_TOKENS, "input_tokens"),
        ({"messages": [{"role": "user", "content": FAR_TOO_LONG}]}, CONTEXT_CHARACTERS, "input_text"),
    ],
)
@pytest.mark.parametrize("stream", [{}, {"stream": True}], ids=["whole", "streamed"])
def test_what_the_handler_refuses(
    server: Server, fields: dict[str, Any], message: Any, param: str | None, stream: dict[str, bool]
) -> None:
    answer = server.post(PATH, BODY | stream | fields)
    assert answer.status_code == 400
    assert_shape(answer.json(), refused(message, param))


TOO_MANY_LOGPROBS = (
    "Requested sample logprobs of 100, which is greater than max allowed: 20 (parameter=logprobs, value=100)"
)


@against("chat")
def test_what_the_engine_refuses_is_400(server: Server) -> None:
    answer = server.post(PATH, BODY | {"logprobs": True, "top_logprobs": 100})
    assert (answer.status_code, answer.json()) == (400, refused(TOO_MANY_LOGPROBS, "logprobs"))


@against("chat")
def test_what_the_engine_refuses_of_a_stream_is_200_with_an_error_event_first(server: Server) -> None:
    body = BODY | {"logprobs": True, "top_logprobs": 100, "stream": True}
    answer = server.post(PATH, body)
    assert answer.status_code == 200
    assert answer.text.startswith('data: {"error": {"message": "Requested')
    assert [event.data for event in events(answer.text)] == [refused(TOO_MANY_LOGPROBS, "logprobs"), DONE]


@against("chat")
@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"max_tokens": "x"}, "body.max_tokens"),
        ({"model": 5}, "body.model"),
        ({"messages": "x"}, "body.messages"),
        ({"stream": "x"}, "body.stream"),
        ({"stream": True, "stream_options": {"include_usage": "x"}}, "body.stream_options.include_usage"),
        ({"priority": "x"}, "body.priority"),
        ({"seed": 2**63}, "body.seed"),
        ({"stop": 5}, "body.stop"),
        ({"tools": "x"}, "body.tools"),
        ({"temperature": "warm"}, "body.temperature"),
        ({"response_format": {"type": "bogus"}}, "body.response_format.type"),
    ],
)
def test_what_validation_refuses_is_400_and_names_the_field(server: Server, fields: dict[str, Any], param: str) -> None:
    answer = server.post(PATH, BODY | fields)
    assert answer.status_code == 400
    assert_shape(answer.json(), invalid(param))


@against("chat")
def test_messages_are_required(server: Server) -> None:
    assert_shape(server.post(PATH, {"model": "qwen"}).json(), invalid("body.messages"))


@against("chat")
def test_a_message_needs_a_role(server: Server) -> None:
    answer = server.post(PATH, BODY | {"messages": [{"content": "x"}]})
    assert answer.status_code == 400
    assert fits(answer.json()["error"], {"message": str, "type": "Bad Request", "param": str, "code": 400})
    assert answer.json()["error"]["param"].startswith("body.messages.0.")
