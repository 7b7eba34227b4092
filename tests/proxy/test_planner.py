"""A request is decided before it may wait, and only what must differ is spliced into the client's own bytes."""

import threading
from typing import Any

import orjson
import pytest

from gateway.core.context import RequestContext
from gateway.core.endpoint import Endpoint, ModelKind
from gateway.core.errors import (
    BadRequestError,
    GatewayError,
    InvalidJsonError,
    ModelNotFoundError,
    UnsupportedFeatureError,
    WrongModelKindError,
)
from gateway.core.fleet import Backend, BackendGroup
from gateway.core.model_card import ModelCard
from gateway.core.principal import Principal
from gateway.payload.settings import PayloadSettings
from gateway.proxy.planner import THREAD_BYTES, Planner
from gateway.routing.registry import Registry
from gateway.transforms.shape import Shaper
from tests.core.requests import CHAT, EMBEDDINGS, MESSAGES, RESPONSES, context
from tests.proxy.fakes import GROUP

pytestmark = pytest.mark.anyio

ALIAS = "Qwen/Qwen2.5-7B-Instruct"
EMBED = BackendGroup("embed", ModelKind.EMBEDDING, "Snow/embed-l", ("embed",), (Backend("embed", "http://e:8000"),))
ALL = {"include_usage": True, "continuous_usage_stats": True}


class Desk:
    """A planner that knows the context of the chat group, and in which thread it was asked."""

    def __init__(self) -> None:
        self.threads: list[int] = []
        self._planner = Planner(Registry([GROUP, EMBED]), PayloadSettings(), self._context)

    def _context(self, group: BackendGroup) -> int | None:
        self.threads.append(threading.get_ident())
        return 8192 if group is GROUP else None

    async def plan(self, body: bytes | dict[str, Any], endpoint: Endpoint = CHAT) -> RequestContext:
        ctx = context(endpoint, body=body if isinstance(body, bytes) else orjson.dumps(body))
        planning = self._planner.plan(ctx)
        if planning is not None:
            await planning
        return ctx

    async def sent(self, body: bytes | dict[str, Any], endpoint: Endpoint = CHAT) -> bytes:
        return (await self.plan(body, endpoint)).plan.body


async def test_a_body_that_needs_nothing_goes_on_as_it_came() -> None:
    body = b' { "model" : "qwen", "messages": [], "max_tokens": "2", "x": 1e5 } \n'
    assert await Desk().sent(body) == body


async def test_an_alias_is_replaced_by_the_backends_own_name_and_remembered() -> None:
    ctx = await Desk().plan({"model": ALIAS, "messages": []})
    plan = ctx.plan
    assert orjson.loads(plan.body)["model"] == "qwen"
    assert (plan.route.asked, plan.route.renamed, ctx.group) == (ALIAS, True, "chat")


@pytest.mark.parametrize("body", [{"messages": []}, {"model": None, "messages": []}, {"model": "", "messages": []}])
async def test_a_missing_model_is_the_paths_default(body: dict[str, Any]) -> None:
    ctx = await Desk().plan(body)
    plan = ctx.plan
    assert orjson.loads(plan.body)["model"] == "qwen"
    assert ctx.group == "chat"


@pytest.mark.parametrize(
    "options", [None, {}, {"include_usage": True}, {"include_usage": False}, {"continuous_usage_stats": True}]
)
async def test_all_usage_is_asked_of_every_chat_stream(options: dict[str, bool] | None) -> None:
    body = {"model": "qwen", "messages": [], "stream": True, "stream_options": options}
    assert orjson.loads(await Desk().sent(body))["stream_options"] == ALL


async def test_a_client_that_asks_for_all_usage_itself_needs_no_splice() -> None:
    body = orjson.dumps({"model": "qwen", "messages": [], "stream": True, "stream_options": ALL})
    assert await Desk().sent(body) == body


@pytest.mark.parametrize("body", [{"stream": False}, {"stream": None}, {}])
async def test_an_answer_that_is_no_stream_is_asked_for_nothing(body: dict[str, Any]) -> None:
    ctx = await Desk().plan({"model": "qwen", "messages": [], **body})
    assert b"stream_options" not in ctx.plan.body
    assert not ctx.streamed


@pytest.mark.parametrize("endpoint", [MESSAGES, RESPONSES])
async def test_other_dialects_state_usage_by_themselves(endpoint: Endpoint) -> None:
    ctx = await Desk().plan({"model": "qwen", "messages": [], "input": "x", "stream": True}, endpoint)
    assert b"stream_options" not in ctx.plan.body
    assert ctx.streamed


async def test_a_response_is_named_by_our_request_id_whatever_the_client_says() -> None:
    for asked in ({}, {"request_id": "theirs"}, {"stream": True}):
        ctx = await Desk().plan({"model": "qwen", "input": "x", **asked}, RESPONSES)
        assert orjson.loads(ctx.plan.body)["request_id"] == f"resp_{ctx.request_id}"


async def test_a_path_without_streams_does_not_stream_and_is_spliced_nothing_for_it() -> None:
    ctx = await Desk().plan({"model": "Snow/embed-l", "input": "x", "stream": True}, EMBEDDINGS)
    assert not ctx.streamed
    assert b"stream_options" not in ctx.plan.body


async def test_the_body_is_held_once() -> None:
    ctx = await Desk().plan({"model": "qwen", "messages": []})
    assert ctx.body == b""


@pytest.mark.parametrize(("size", "elsewhere"), [(THREAD_BYTES, False), (THREAD_BYTES + 1, True)])
async def test_only_a_large_body_is_worth_a_thread(size: int, *, elsewhere: bool) -> None:
    start, end = b'{"model":"qwen","messages":[],"x":"', b'"}'
    body = start + b"x" * (size - len(start) - len(end)) + end
    desk = Desk()
    ctx = await desk.plan(body)
    assert (desk.threads[0] != threading.get_ident()) is elsewhere
    assert ctx.plan.body == body


@pytest.mark.parametrize(
    ("body", "endpoint", "mistake"),
    [
        (b"{", CHAT, InvalidJsonError),
        (b"[]", CHAT, InvalidJsonError),
        (b'{"model":"nope"}', CHAT, ModelNotFoundError),
        (b'{"model":"embed"}', CHAT, WrongModelKindError),
        (b'{"model":"qwen","n":1000}', CHAT, BadRequestError),
        (b'{"model":"qwen","max_tokens":8193}', CHAT, BadRequestError),
        (b'{"model":"qwen","previous_response_id":"x"}', RESPONSES, BadRequestError),
        (b'{"model":"qwen","x":"' + b"x" * THREAD_BYTES, CHAT, InvalidJsonError),
    ],
    ids=["broken", "no object", "unknown", "kind", "choices", "context", "state", "broken and large"],
)
async def test_a_mistake_is_told_and_nothing_is_planned(
    body: bytes, endpoint: Endpoint, mistake: type[GatewayError]
) -> None:
    desk = Desk()
    with pytest.raises(mistake):
        await desk.plan(body, endpoint)


async def test_a_length_within_the_context_passes() -> None:
    assert await Desk().sent({"model": "qwen", "messages": [], "max_tokens": 8192})


def shaped(name: str, **card: Any) -> BackendGroup:
    """A group whose card changes requests, and whose fallback is the other one."""
    said = ModelCard(name=name, **card)
    other = {"one": "other", "other": "one"}[name]
    backends = (Backend(name, f"http://{name}:8000"),)
    return BackendGroup(name, ModelKind.CHAT, name, (), backends, fallback=other, card=said, shape=Shaper(said))


async def planned(group: BackendGroup, other: BackendGroup, body: dict[str, Any]) -> tuple[Planner, RequestContext]:
    planner = Planner(Registry([group, other]), PayloadSettings(), lambda _: 8192)
    ctx = context(CHAT, body=orjson.dumps({"model": group.name, **body}))
    planning = planner.plan(ctx)
    assert planning is None
    return planner, ctx


async def test_a_card_decides_what_the_backend_reads_and_what_the_gateway_judges_by() -> None:
    one = shaped("one", forced_parameters={"max_tokens": 10, "temperature": 0})
    _, ctx = await planned(one, shaped("other"), {"messages": [], "max_tokens": 9000, "stream": True})
    sent = orjson.loads(ctx.plan.body)
    assert (sent["max_tokens"], sent["temperature"], sent["stream_options"]) == (10, 0, ALL)
    assert not ctx.plan.peeked.include_usage, "what the gateway asked for is not the client's wish"


async def test_a_model_that_schedules_by_priority_is_told_the_keys() -> None:
    planner = Planner(
        Registry([shaped("one", schedules_by_priority=True), shaped("other")]), PayloadSettings(), lambda _: 8192
    )
    sent = {}
    for model in ("one", "other"):
        body = orjson.dumps({"model": model, "messages": [], "priority": -99})
        ctx = context(CHAT, body=body, principal=Principal(priority=7))
        assert planner.plan(ctx) is None
        sent[model] = orjson.loads(ctx.plan.body)["priority"]
    assert sent == {"one": 7, "other": -99}


async def test_a_priority_is_said_in_a_header_where_the_body_has_no_place_for_it() -> None:
    planner = Planner(Registry([shaped("one", schedules_by_priority=True)]), PayloadSettings(), lambda _: 8192)
    said = {}
    for endpoint in (CHAT, RESPONSES, MESSAGES):
        body = orjson.dumps({"model": "one", "messages": [], "prompt": "", "input": "", "max_tokens": 1})
        ctx = context(endpoint, body=body, principal=Principal(priority=-7))
        assert planner.plan(ctx) is None
        said[endpoint] = ctx.plan.headers
    assert {endpoint for endpoint, headers in said.items() if headers} == {MESSAGES}
    assert said[MESSAGES] == ((b"x-vllm-priority", b"-7"),)


async def test_a_default_that_no_model_could_keep_is_refused_too() -> None:
    with pytest.raises(BadRequestError, match="8192 tokens fit"):
        await planned(shaped("one", default_parameters={"max_tokens": 9000}), shaped("other"), {"messages": []})


async def test_a_fallback_shapes_what_the_client_sent_and_not_what_the_first_model_made_of_it() -> None:
    message = {"role": "user", "content": "hi"}
    one = shaped("one", system_prompt_prefix="I am one.", default_parameters={"temperature": 0, "max_tokens": 10})
    other = shaped("other", system_prompt_prefix="I am other.", default_parameters={"top_p": 0.5})
    planner, ctx = await planned(one, other, {"messages": [message], "stream": True})
    again = planner.replan(ctx, ctx.plan, other)
    sent = orjson.loads(again.body)
    assert sent["messages"] == [{"role": "system", "content": "I am other."}, message]
    assert (sent["model"], sent["top_p"], sent["stream_options"]) == ("other", 0.5, ALL)
    assert "temperature" not in sent
    assert "max_tokens" not in sent
    assert (again.peeked.max_tokens, again.peeked.temperature) == (None, None)


async def test_tools_are_refused_before_anybody_waits_where_the_model_has_no_parser() -> None:
    tools = [{"type": "function", "function": {"name": "weather"}}]
    with pytest.raises(UnsupportedFeatureError, match="`qwen` cannot call tools"):
        await Desk().plan({"model": "qwen", "messages": [], "tools": tools})
    body = orjson.dumps({"model": "qwen", "messages": [], "tools": tools, "tool_choice": "none"})
    assert await Desk().sent(body) == body


async def test_other_models_are_in_force_from_the_next_request_on() -> None:
    planner, ctx = await planned(shaped("one"), shaped("other"), {"messages": []})
    planner.follow(Registry([GROUP]))
    assert ctx.plan.route.group.name == "one"
    with pytest.raises(ModelNotFoundError):
        planner.plan(context(CHAT, body=b'{"model":"one"}'))
