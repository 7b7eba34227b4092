"""The application behind the chain: it raises its failures, and sends nothing before it does."""

import asyncio
import threading

import httpx
import pytest

from gateway.api.control import ControlRelay
from gateway.api.own import Own, build_own
from gateway.backends.health import Readiness
from gateway.core.asgi import ASGIApp, Message, Receive, Scope, Send
from gateway.core.clock import SystemClock
from gateway.core.context import CONTEXT_KEY
from gateway.core.errors import GatewayError, MethodNotAllowedError, NotFoundError
from tests.api.served import FleetByHand, uncounted
from tests.core.requests import MODELS, context

pytestmark = pytest.mark.anyio


async def ask(fleet: FleetByHand, path: str, method: str = "GET") -> list[Message]:
    """Call the application as the chain does; the messages it sent."""
    sent: list[Message] = []
    scope: Scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [],
        CONTEXT_KEY: context(MODELS),
    }

    try:
        await build_own(fleet.roster, fleet, ControlRelay("", uncounted), SystemClock())(scope, _nothing, _keep(sent))
    finally:
        assert not sent or sent[0]["type"] == "http.response.start"
    return sent


async def test_whoever_asks_first_for_the_documentation_and_leaves_keeps_nobody_from_it() -> None:
    loads = 0

    def document() -> ASGIApp:
        nonlocal loads
        loads += 1
        begun.set()
        assert go_on.wait(30)
        return answer

    async def answer(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    begun, go_on = threading.Event(), threading.Event()
    sent: list[Message] = []
    own = Own([], _nowhere, document)
    first = asyncio.create_task(own({"path": "/docs", CONTEXT_KEY: context(MODELS)}, _nothing, _keep(sent)))
    await asyncio.to_thread(begun.wait, 30)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    second = asyncio.create_task(own({"path": "/docs", CONTEXT_KEY: context(MODELS)}, _nothing, _keep(sent)))
    go_on.set()
    await second
    assert (loads, len(sent)) == (1, 1)


async def _nowhere(_: Scope, __: Receive, ___: Send) -> None:
    raise AssertionError("no such path is the control process's")


async def _nothing() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


def _keep(sent: list[Message]) -> Send:
    async def send(message: Message) -> None:
        sent.append(message)

    return send


class BrokenFleet(FleetByHand):
    """A fleet with a defect in it."""

    def ready(self) -> Readiness:
        raise RuntimeError("a defect")


async def test_a_defect_passes_through_so_that_the_boundary_logs_and_renders_it() -> None:
    with pytest.raises(RuntimeError, match="a defect"):
        await ask(BrokenFleet(), "/ready")


async def test_an_unknown_path_is_raised_in_our_words() -> None:
    with pytest.raises(NotFoundError) as caught:
        await ask(FleetByHand(), "/nope")
    assert caught.value.code == "not_found"


async def test_a_wrong_method_is_raised_with_those_allowed() -> None:
    with pytest.raises(MethodNotAllowedError) as caught:
        await ask(FleetByHand(), "/health", "DELETE")
    assert (b"allow", b"GET, HEAD") in caught.value.headers


@pytest.mark.parametrize("path", ["/v1/models/nope", "/docs/nope.js", "/health/"])
async def test_expected_failures_are_raised_not_sent(path: str) -> None:
    with pytest.raises(GatewayError):
        await ask(FleetByHand(), path)


async def test_head_has_the_fields_of_get_and_no_body(client: httpx.AsyncClient) -> None:
    whole, head = await client.get("/health"), await client.head("/health")
    assert head.status_code == 200
    assert head.headers["content-length"] == whole.headers["content-length"]
    assert head.content == b""


async def test_the_envelope_holds_for_unknown_paths_and_methods(client: httpx.AsyncClient) -> None:
    missing, wrong = await client.get("/nope"), await client.post("/health")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "not_found")
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (405, "method_not_allowed")
    assert wrong.headers["allow"] == "GET, HEAD"


async def test_query_strings_are_allowed(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1/models?limit=5")).status_code == 200
