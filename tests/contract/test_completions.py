"""What does /v1/completions answer, whole and in chunks?"""

import re
from typing import Any

import pytest

from tests.contract.answers import (
    CONTEXT_TOKENS,
    TOO_LONG,
    USAGE,
    USAGE_DETAILED,
    identifier,
    invalid,
    no_such_model,
    refused,
)
from tests.contract.events import DONE
from tests.contract.roles import against
from tests.contract.server import Server
from tests.contract.shapes import assert_shape

PATH = "/v1/completions"
BODY: dict[str, Any] = {"model": "qwen", "prompt": "hi", "max_tokens": 6}
FINGERPRINT = re.compile(r"vllm-0\.32\.0-[0-9a-f]{8}")
HEAD = {"id": identifier("cmpl-"), "object": "text_completion", "created": int, "model": "qwen"}
CHOICE = {
    "index": int,
    "text": str,
    "logprobs": None,
    "finish_reason": "length",
    "stop_reason": None,
    "token_ids": None,
    "prompt_logprobs": None,
    "prompt_token_ids": None,
    "routed_experts": None,
}
COMPLETION = HEAD | {
    "choices": (CHOICE,),
    "service_tier": None,
    "system_fingerprint": FINGERPRINT,
    "usage": USAGE_DETAILED,
    "kv_transfer_params": None,
    "ec_transfer_params": None,
    "metrics": None,
}
TEXT = {
    "index": int,
    "text": str,
    "logprobs": None,
    "finish_reason": None,
    "stop_reason": None,
    "prompt_token_ids": None,
    "token_ids": None,
}
FINISH = TEXT | {"finish_reason": "length"}
TEXT_CHUNK = HEAD | {"choices": (TEXT,)}
FINISH_CHUNK = HEAD | {"choices": (FINISH,)}
USAGE_CHUNK = HEAD | {"choices": (), "usage": USAGE, "system_fingerprint": FINGERPRINT}
SIGNED = {"system_fingerprint": FINGERPRINT}
COUNTED = {"usage": USAGE}
NO_PROMPT = "Either prompt or prompt_embeds must be provided and non-empty. (parameter=prompt)"


def chunks(server: Server, **fields: Any) -> list[Any]:
    """The chunks of a stream before its `[DONE]`."""
    *found, done = server.events(PATH, BODY | fields)
    assert done.data == DONE
    return [event.data for event in found]


@against("chat")
def test_a_whole_answer(server: Server) -> None:
    answer = server.post(PATH, BODY).json()
    assert_shape(answer, COMPLETION)
    assert answer["usage"]["completion_tokens"] == 6


@against("chat")
def test_without_max_tokens_it_is_sixteen(server: Server) -> None:
    answer = server.post(PATH, {"model": "qwen", "prompt": "hi"}).json()
    assert 1 <= answer["usage"]["completion_tokens"] <= 16
    assert answer["choices"][0]["finish_reason"] in {"length", "stop"}


@against("chat")
@pytest.mark.parametrize("prompt", [["hi", "you"], [[71, 72], [73]]], ids=["texts", "token ids"])
def test_several_prompts_make_several_choices(server: Server, prompt: list[Any]) -> None:
    answer = server.post(PATH, BODY | {"prompt": prompt}).json()
    assert_shape(answer, COMPLETION | {"choices": (CHOICE, CHOICE)})
    assert [choice["index"] for choice in answer["choices"]] == [0, 1]
    assert answer["usage"]["completion_tokens"] == 12


@against("chat")
def test_a_prompt_of_token_ids_counts_as_many(server: Server) -> None:
    assert server.post(PATH, BODY | {"prompt": [71, 72, 73]}).json()["usage"]["prompt_tokens"] == 3


@against("chat")
def test_a_stream_has_no_role_chunk_and_signs_its_finish(server: Server) -> None:
    *texts, finish = chunks(server)
    assert_shape(texts, [TEXT_CHUNK])
    assert_shape(finish, FINISH_CHUNK | SIGNED)


@against("chat")
def test_include_usage_adds_one_chunk(server: Server) -> None:
    *texts, finish, usage = chunks(server, stream_options={"include_usage": True})
    assert_shape(texts, [TEXT_CHUNK])
    assert_shape(finish, FINISH_CHUNK)
    assert_shape(usage, USAGE_CHUNK)
    assert usage["usage"]["completion_tokens"] == 6


@against("chat")
def test_continuous_usage_counts_on_every_chunk(server: Server) -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    *texts, finish, usage = chunks(server, stream_options=options)
    assert_shape(texts, [TEXT_CHUNK | COUNTED])
    assert_shape(finish, FINISH_CHUNK | COUNTED)
    assert_shape(usage, USAGE_CHUNK)
    counts = [chunk["usage"]["completion_tokens"] for chunk in (*texts, finish)]
    assert counts == sorted(counts)
    assert counts[-1] == 6


@against("chat")
def test_streamed_prompts_are_choices_too(server: Server) -> None:
    *found, usage = chunks(server, prompt=["hi", "you"], stream_options={"include_usage": True})
    finishes = [chunk for chunk in found if chunk["choices"][0]["finish_reason"]]
    assert sorted(chunk["choices"][0]["index"] for chunk in finishes) == [0, 1]
    assert usage["usage"]["completion_tokens"] == 12


@against("chat")
@pytest.mark.parametrize(
    ("fields", "message", "param"),
    [
        ({"prompt": ""}, NO_PROMPT, "prompt"),
        ({"prompt": None}, NO_PROMPT, "prompt"),
        ({"prompt": []}, "You must pass at least one prompt", None),
        ({"max_tokens": 0}, "max_tokens must be at least 1, got 0. (parameter=max_tokens, value=0)", "max_tokens"),
        ({"prompt": TOO_LONG}, CONTEXT_TOKENS, "input_tokens"),
        (
            {"stream_options": {"include_usage": True}},
            "Stream options can only be defined when `stream=True`. (parameter=stream_options)",
            "stream_options",
        ),
    ],
)
def test_what_the_handler_refuses(server: Server, fields: dict[str, Any], message: Any, param: str | None) -> None:
    answer = server.post(PATH, BODY | fields)
    assert answer.status_code == 400
    assert_shape(answer.json(), refused(message, param))


@against("chat")
@pytest.mark.parametrize(
    ("fields", "param"), [({"prompt": {"a": 1}}, "body.prompt"), ({"max_tokens": "x"}, "body.max_tokens")]
)
def test_what_validation_refuses(server: Server, fields: dict[str, Any], param: str) -> None:
    answer = server.post(PATH, BODY | fields)
    assert answer.status_code == 400
    assert_shape(answer.json(), invalid(param))


@against("chat")
def test_an_unknown_model_is_404(server: Server) -> None:
    answer = server.post(PATH, BODY | {"model": "nope"})
    assert (answer.status_code, answer.json()) == (404, no_such_model("qwen"))
