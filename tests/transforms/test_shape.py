"""A card's word counts where the client's does not, and where a forced one is all that counts."""

from typing import Any

import orjson
import pytest

from gateway.core.endpoint import Dialect, Endpoint
from gateway.core.model_card import ModelCard
from gateway.payload.splice import splice
from gateway.transforms.shape import Shaper
from tests.core.requests import CHAT, EMBEDDINGS, MESSAGES, RESPONSES

COUNT = Endpoint("/v1/messages/count_tokens", frozenset({"POST"}), dialect=Dialect.ANTHROPIC, uses_engine=False)
TOKENIZE = Endpoint("/v1/tokenize", frozenset({"POST"}), upstream_path=b"/tokenize", uses_engine=False)


def shaped(body: bytes | dict[str, Any], endpoint: Endpoint = CHAT, /, **card: Any) -> Any:
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    members = Shaper(ModelCard(name="m", **card)).members(endpoint, raw, 0)
    return orjson.loads(splice(raw, members) if members else raw)


def test_null_counts_as_absent_and_the_last_of_two_counts() -> None:
    card = {"default_parameters": {"temperature": 0.2}}
    assert shaped(b'{"temperature":null}', **card) == {"temperature": 0.2}
    assert shaped(b'{"temperature":1,"temperature":null}', **card) == {"temperature": 0.2}
    assert shaped(b'{"temperature":null,"temperature":1}', **card) == {"temperature": 1}
    assert shaped(b'{"temper\\u0061ture":1}', **card) == {"temperature": 1}


@pytest.mark.parametrize("spelling", ["max_tokens", "max_completion_tokens"])
def test_a_forced_bound_cannot_be_got_around_by_its_other_name(spelling: str) -> None:
    body = shaped({"max_completion_tokens": 9000, "max_tokens": 9000}, forced_parameters={spelling: 10})
    assert body == {"max_completion_tokens": 10, "max_tokens": 10}


def test_a_default_bound_gives_way_to_any_that_is_stated() -> None:
    card = {"default_parameters": {"max_tokens": 10}}
    assert shaped({"max_completion_tokens": 3}, **card) == {"max_completion_tokens": 3}
    assert shaped({}, RESPONSES, **card) == {"max_output_tokens": 10}
    assert shaped({"max_tokens": 5}, MESSAGES, **card) == {"max_tokens": 5}


def test_there_is_one_system_message_and_it_is_the_first() -> None:
    card = {"system_prompt_prefix": "Be brief."}
    user = {"role": "user", "content": "hi"}
    assert shaped({"messages": [user]}, **card)["messages"] == [{"role": "system", "content": "Be brief."}, user]
    own = {"role": "system", "content": "You are Bo."}
    joined = {"role": "system", "content": "Be brief.\n\nYou are Bo."}
    assert shaped({"messages": [own, user]}, **card)["messages"] == [joined, user]
    parts = {"role": "system", "content": [{"type": "text", "text": "You are Bo."}]}
    (first, *_) = shaped({"messages": [parts]}, **card)["messages"]
    assert [part["text"] for part in first["content"]] == ["Be brief.\n\n", "You are Bo."]


@pytest.mark.parametrize(("endpoint", "member"), [(RESPONSES, "instructions"), (MESSAGES, "system")])
def test_other_dialects_have_a_member_for_it(endpoint: Endpoint, member: str) -> None:
    card = {"system_prompt_prefix": "Be brief."}
    assert shaped({}, endpoint, **card) == {member: "Be brief."}
    assert shaped({member: "You are Bo."}, endpoint, **card)[member] == "Be brief.\n\nYou are Bo."


def test_what_the_backend_is_going_to_refuse_stays_as_it_is() -> None:
    card = {"system_prompt_prefix": "Be brief.", "reasoning": {"chat_template_kwargs": {"a": 1}}}
    bodies: list[dict[str, Any]] = [
        {"messages": []},
        {"messages": "hi"},
        {"messages": [{"role": "system", "content": 3}]},
    ]
    for body in bodies:
        assert shaped({**body, "chat_template_kwargs": 1}, **card) == {**body, "chat_template_kwargs": 1}


def test_text_that_is_none_is_passed_on_untouched() -> None:
    latin = b'{"messages":[{"role":"system","content":"caf\xe9"}]}'
    members = Shaper(ModelCard(name="m", system_prompt_prefix="Be brief.")).members(CHAT, latin, 0)
    assert members == b'"messages":[{"role":"system","content":"Be brief.\\n\\ncaf\xe9"}]'


def test_how_to_think_is_the_clients_to_say_member_by_member() -> None:
    card = {"reasoning": {"reasoning_effort": "low", "chat_template_kwargs": {"enable_thinking": False, "x": 1}}}
    body = shaped({"chat_template_kwargs": {"enable_thinking": True}}, **card)
    assert body == {"chat_template_kwargs": {"enable_thinking": True, "x": 1}, "reasoning_effort": "low"}
    assert shaped({"reasoning": {"summary": "auto"}}, RESPONSES, **card)["reasoning"] == {
        "effort": "low",
        "summary": "auto",
    }


def test_messages_are_told_how_hard_to_think_in_their_own_words() -> None:
    low: dict[str, Any] = {"reasoning": {"reasoning_effort": "low"}}
    for endpoint in (MESSAGES, COUNT):
        assert shaped({}, endpoint, **low) == {"output_config": {"effort": "low"}}
        assert shaped({"output_config": {"effort": "max"}}, endpoint, **low) == {"output_config": {"effort": "max"}}
        form = {"format": {"type": "json_schema"}}
        assert shaped({"output_config": form}, endpoint, **low) == {"output_config": {"effort": "low", **form}}
    assert shaped({}, MESSAGES, reasoning={"reasoning_effort": "minimal"}) == {}  # vLLM has no such word there
    own = {"format": None}
    assert shaped({}, MESSAGES, default_parameters={"output_config": own}, **low) == {"output_config": own}


def test_messages_are_told_not_to_think_where_the_client_says_nothing_of_it() -> None:
    none: dict[str, Any] = {"reasoning": {"reasoning_effort": "none"}}
    assert shaped({}, MESSAGES, **none) == {"thinking": {"type": "disabled"}}
    said: list[dict[str, Any]] = [{"thinking": {"type": "adaptive"}}, {"output_config": {"effort": "high"}}]
    for body in said:
        assert shaped(body, MESSAGES, **none) == body


@pytest.mark.parametrize("endpoint", [TOKENIZE, COUNT])
def test_a_count_of_tokens_has_what_the_template_is_given_and_no_other_parameter(endpoint: Endpoint) -> None:
    forced = {"chat_template_kwargs": {"enable_thinking": False}, "temperature": 0}
    body = shaped({"chat_template_kwargs": {"enable_thinking": True}}, endpoint, forced_parameters=forced)
    assert body == {"chat_template_kwargs": {"enable_thinking": False}}
    assert shaped({}, endpoint, default_parameters=forced) == {"chat_template_kwargs": {"enable_thinking": False}}


def test_what_is_tokenized_is_told_of_the_effort_as_chat_tells_the_template() -> None:
    card: dict[str, Any] = {"reasoning": {"reasoning_effort": "low"}}
    told = {"chat_template_kwargs": {"enable_thinking": True, "reasoning_effort": "low"}}
    assert shaped({}, TOKENIZE, **card) == told
    (with_default,) = shaped({}, TOKENIZE, default_parameters={"chat_template_kwargs": {"b": 2}}, **card).values()
    assert with_default == {"enable_thinking": True, "reasoning_effort": "low", "b": 2}
    silent = {"reasoning": {"reasoning_effort": "none", "chat_template_kwargs": {"a": 1}}}
    found = shaped({}, TOKENIZE, default_parameters={"chat_template_kwargs": {"a": 0, "b": 2}}, **silent)
    expected = {"enable_thinking": False, "reasoning_effort": "none", "a": 1, "b": 2}
    assert found == {"chat_template_kwargs": expected}


def test_a_count_of_tokens_counts_the_system_prompt_and_generates_nothing() -> None:
    card = {"system_prompt_prefix": "Be brief.", "forced_parameters": {"temperature": 0}}
    body = shaped({"messages": [{"role": "user", "content": "hi"}]}, TOKENIZE, **card)
    assert body["messages"][0]["content"] == "Be brief."
    assert "temperature" not in body


def test_vectors_have_no_system_prompt() -> None:
    assert shaped({"input": "x"}, EMBEDDINGS, system_prompt_prefix="Be brief.") == {"input": "x"}


def test_a_million_messages_are_not_taken_apart() -> None:
    body = b'{"messages":[{"role":"user","content":"hi"}' + b',""' * 1_000_000 + b"]}"
    members = Shaper(ModelCard(name="m", system_prompt_prefix="Be brief.")).members(CHAT, body, 0)
    assert members.startswith(b'"messages":[{"role":"system","content":"Be brief."},{"role":"user"')
    assert len(members) < len(body) + 100


@pytest.mark.parametrize("endpoint", [CHAT, RESPONSES, EMBEDDINGS])
def test_backends_that_schedule_by_priority_are_told_the_keys_and_not_what_a_client_states(endpoint: Endpoint) -> None:
    shaper = Shaper(ModelCard(name="m", schedules_by_priority=True))
    for priority in (0, 7, -3):
        body = b'{"priority":-1000}'
        assert orjson.loads(splice(body, shaper.members(endpoint, body, priority))) == {"priority": priority}
    both = Shaper(ModelCard(name="m", schedules_by_priority=True, forced_parameters={"temperature": 0}))
    assert orjson.loads(splice(b"{}", both.members(endpoint, b"{}", 5))) == {"temperature": 0, "priority": 5}


def test_no_other_backend_is_told_a_priority_and_nothing_that_only_counts() -> None:
    assert Shaper(ModelCard(name="m", forced_parameters={"seed": 1})).members(CHAT, b"{}", 5) == b'"seed":1'
    assert Shaper(ModelCard(name="m", schedules_by_priority=True)).members(TOKENIZE, b"{}", 5) == b""
