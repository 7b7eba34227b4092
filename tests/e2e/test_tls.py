"""The whole house as its clients meet it: through nginx and TLS, over HTTP/1.1 and HTTP/2, with the SDKs and curl."""

import itertools
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx
import openai
import orjson
import pytest

from gateway.api.docs import POLICY
from tests.e2e.conftest import Fleet, start_fleet
from tests.support.browser import browse
from tests.support.curl import PARTIAL_BODY, STREAM_RESET, require_http2
from tests.support.front_door import FrontDoor
from tests.support.gateway import KEY, Gateway, wait_until
from tests.support.nginx import NginxServer, start_nginx
from tests.support.sdk_calls import QUESTION, STREAMED, WHOLE
from tests.support.visitor import Visitor

# Fetching or building nginx's image may take minutes, once; one process, because a house takes seconds to start.
pytestmark = [pytest.mark.timeout(60, func_only=True), pytest.mark.xdist_group("tls")]

CHAT = "/v1/chat/completions"
BODY: dict[str, Any] = {"model": "qwen", "messages": QUESTION, "max_tokens": 2000}
LONG = {**BODY, "stream": True, "ignore_eos": True}
BOTH = ("chat0", "chat1")
OPERATOR = "127.0.9.9"
BURST = 20
MAX_BODY = 100_000
NUMBERS = itertools.count(1)


@dataclass(frozen=True, slots=True)
class House:
    """Five simulated vLLM servers, a gateway of two workers, nginx."""

    fleet: Fleet
    gateway: Gateway
    nginx: NginxServer

    def rows(self) -> list[dict[str, Any]]:
        """The chat servers' ledgers."""
        return [row for name in BOTH for row in self.fleet[name].ledger()]

    def chat_is(self, state: str, count: int = 1) -> Any:
        """Waits until so many requests of the chat servers are in that state, and gives them."""
        return wait_until(
            lambda: len(rows := [row for row in self.rows() if row["ended"] == state]) == count and rows,
            what=f"not {count} {state}: {self.rows()}",
        )

    def pace(self, **milliseconds: float) -> None:
        """The chat servers' speed."""
        for name in BOTH:
            self.fleet[name].set_pace(**milliseconds)

    def break_streams(self) -> None:
        """Have every stream cut after its fourth event, each of which comes in a piece of its own."""
        self.pace(token_ms=20)
        for name in BOTH:
            self.fleet[name].set_fault("reset_mid_stream", after=4)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """The house; a bucket does not refill within a test, for each test is an organization of its own."""
    with ExitStack() as stack:
        fleet = start_fleet(stack, *BOTH, "text2sql", "embed", "rerank")
        limits = {"MAX_RPS_PER_IP": 0.01, "RPS_BURST": BURST, "MAX_REQUEST_BODY_BYTES": MAX_BODY}
        gateway = stack.enter_context(
            Gateway(tmp_path_factory.mktemp("gateway"), GATEWAY_WORKERS=2, **limits, **fleet.settings())
        )
        nginx = start_nginx(
            gateway.port,
            metrics_port=gateway.metrics_port,
            NGINX_OPERATORS=OPERATOR,
            MAX_REQUEST_BODY_BYTES=str(MAX_BODY),
        )
        stack.callback(nginx.stop)
        wait_until(gateway.ready)
        yield House(fleet, gateway, nginx)


@pytest.fixture
def house(built: House) -> House:
    """The module's house, with nothing switched on and empty ledgers."""
    built.fleet.clear()
    return built


@pytest.fixture
def newcomer(house: House, tmp_path: Path) -> Callable[..., Visitor]:
    """Makes visitors, each from an address that nobody had before, or from a given one."""

    def make(address: str | None = None) -> Visitor:
        address = address or f"127.0.2.{next(NUMBERS)}"
        folder = tmp_path / address
        folder.mkdir()
        return Visitor(FrontDoor.of(house.nginx), house.gateway, folder, address)

    return make


@pytest.fixture
def visitor(newcomer: Callable[..., Visitor]) -> Visitor:
    return newcomer()


@pytest.fixture(params=["--http1.1", "--http2"])
def version(request: pytest.FixtureRequest) -> str:
    """The option that makes curl speak one version of HTTP."""
    if request.param == "--http2":
        require_http2()
    return str(request.param)


def posting(body: dict[str, Any]) -> list[str]:
    """Curl's options for a JSON request."""
    return [
        *("--header", f"Authorization: Bearer {KEY}", "--header", "Content-Type: application/json"),
        *("--data", orjson.dumps(body).decode()),
    ]


@pytest.mark.parametrize("name", WHOLE)
def test_the_openai_sdk_gets_its_answer(visitor: Visitor, name: str) -> None:
    call, holds = WHOLE[name]
    with visitor.openai() as client:
        assert holds(call(client))


@pytest.mark.parametrize("name", STREAMED)
def test_the_openai_sdk_gets_its_stream(visitor: Visitor, name: str) -> None:
    call, holds = STREAMED[name]
    with visitor.openai() as client, call(client) as stream:
        assert holds(list(stream))


@pytest.mark.anyio
@pytest.mark.parametrize("name", WHOLE)
async def test_the_asynchronous_openai_sdk_gets_its_answer(visitor: Visitor, name: str) -> None:
    call, holds = WHOLE[name]
    async with visitor.async_openai() as client:
        assert holds(await call(client))


@pytest.mark.anyio
@pytest.mark.parametrize("name", STREAMED)
async def test_the_asynchronous_openai_sdk_gets_its_stream(visitor: Visitor, name: str) -> None:
    call, holds = STREAMED[name]
    async with visitor.async_openai() as client, await call(client) as stream:
        assert holds([event async for event in stream])


@pytest.mark.parametrize(
    ("path", "body", "shown"),
    [
        ("/v1/rerank", {"query": "red fruit", "documents": ["a grey stone", "a red fruit"]}, "results"),
        ("/v2/rerank", {"query": "red fruit", "documents": ["a grey stone", "a red fruit"]}, "results"),
        ("/v1/score", {"text_1": "red fruit", "text_2": "a red fruit"}, "data"),
        ("/v1/tokenize", {"prompt": "a red fruit"}, "tokens"),
    ],
)
def test_what_no_sdk_knows_is_plain_json(visitor: Visitor, path: str, body: dict[str, Any], shown: str) -> None:
    with visitor.http() as client:
        answer = client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()[shown]


def test_models_are_listed_and_the_house_is_ready(visitor: Visitor) -> None:
    with visitor.openai() as client:
        assert {"qwen", "text2sql", "bge-reranker-v2-m3"} <= {model.id for model in client.models.list()}
    with visitor.http() as http:
        assert [http.get(path).status_code for path in ("/health", "/ready", "/health/detailed")] == [200] * 3


def test_the_anthropic_sdk_gets_its_answers(visitor: Visitor) -> None:
    with visitor.anthropic() as client:
        answer = client.messages.create(model="qwen", max_tokens=8, messages=QUESTION)
        counted = client.messages.count_tokens(model="qwen", messages=QUESTION)
        with client.messages.stream(model="qwen", max_tokens=8, messages=QUESTION) as stream:
            text = stream.get_final_text()
    assert answer.usage.input_tokens == counted.input_tokens > 0
    assert text


def test_an_sdk_gets_each_event_before_the_next_is_made(house: House, visitor: Visitor) -> None:
    house.pace(token_ms=10_000)
    with visitor.openai(timeout=5) as client:
        stream = client.chat.completions.create(**BODY, stream=True)
        # The second event is the first token; the next would come ten seconds later, and the client waits for five.
        assert [bool(next(stream).choices) for _ in range(2)] == [True, True]
        stream.close()
    house.chat_is("aborted")


def test_curl_gets_each_event_before_the_next_is_made(house: House, visitor: Visitor, version: str) -> None:
    house.pace(token_ms=10_000)
    with visitor.curl.start(CHAT, version, "--max-time", "5", *posting(LONG)) as process:
        events = [first_event(process) for _ in range(2)]
    assert [event[:6] for event in events] == [b"data: "] * 2
    house.chat_is("aborted")


def first_event(process: Any) -> bytes:
    """The next event's first line; an end of the output is an empty one."""
    return next((line for line in iter(process.stdout.readline, b"") if line != b"\n"), b"")


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
def test_leaving_before_the_first_token_frees_everything(
    house: House, visitor: Visitor, version: str, *, streamed: bool
) -> None:
    house.pace(ttft_ms=60_000)
    with visitor.curl.start(CHAT, version, *posting({**BODY, "stream": streamed})):
        house.chat_is("running")
    house.chat_is("aborted")
    (line,) = visitor.lines()
    assert (line["status"], line["outcome"], line["disconnect_phase"]) == (499, "client_gone", "waiting")
    wait_until(house.gateway.idle)


def test_leaving_in_mid_stream_frees_everything(house: House, visitor: Visitor, version: str) -> None:
    house.pace(token_ms=5)
    with visitor.curl.start(CHAT, version, *posting(LONG)) as process:
        assert [first_event(process)[:6] for _ in range(10)] == [b"data: "] * 10
    (row,) = house.chat_is("aborted")
    (line,) = visitor.lines()
    assert (line["status"], line["outcome"], line["disconnect_phase"]) == (200, "client_gone", "answering")
    assert 0 < line["completion_tokens"] <= row["completion_tokens"] < BODY["max_tokens"]
    wait_until(house.gateway.idle)


def test_a_stream_of_an_http_2_connection_ends_and_its_sibling_goes_on(house: House, visitor: Visitor) -> None:
    require_http2()
    house.fleet["text2sql"].set_pace(ttft_ms=60_000)
    house.pace(token_ms=20)
    curl = visitor.curl
    stays = ["--parallel", "--http2", *posting(LONG), curl.url + CHAT]
    leaves = ["--next", "--http2", "--max-time", "2", "--write-out", "left %{num_connects}\n"]
    with curl.start("/v1/text2sql", *stays, *leaves, *posting({"messages": QUESTION})) as process:
        assert process.stdout is not None
        told = next(line for line in iter(process.stdout.readline, b"") if line.startswith(b"left"))
        assert told == b"left 0\n", "it had a connection of its own"
        (row,) = house.fleet["text2sql"].settled(requests=1)
        assert row["ended"] == "aborted"
        house.chat_is("running")
    house.chat_is("aborted")


@pytest.mark.anyio
async def test_an_agent_that_cancels_a_whole_answer_frees_everything(house: House, visitor: Visitor) -> None:
    house.pace(ttft_ms=60_000)
    async with visitor.async_openai() as client, anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: client.chat.completions.create(**BODY))
        await anyio.to_thread.run_sync(house.chat_is, "running")
        tasks.cancel_scope.cancel()
    house.chat_is("aborted")
    assert [line["status"] for line in visitor.lines()] == [499]


def test_a_stream_that_fails_never_ends_cleanly(house: House, visitor: Visitor, version: str) -> None:
    house.break_streams()
    seen = visitor.curl.run(CHAT, version, "--no-buffer", *posting(LONG))
    assert seen.returncode == {"--http1.1": PARTIAL_BODY, "--http2": STREAM_RESET}[version], seen.stderr
    assert seen.stdout.count('data: {"error":') == 1
    assert seen.stdout.count("data: ") == 5
    assert "[DONE]" not in seen.stdout


def test_a_stream_that_fails_raises_in_the_sdk(house: House, visitor: Visitor) -> None:
    house.break_streams()
    with visitor.openai() as client:
        stream = client.chat.completions.create(**BODY, stream=True)
        with pytest.raises(openai.APIError, match="broke off"):
            list(stream)


def test_a_wrong_key_raises_with_the_request_id(visitor: Visitor) -> None:
    with visitor.openai(api_key="sk-wrong") as client, pytest.raises(openai.AuthenticationError) as refusal:
        client.models.list()
    assert [line["request_id"] for line in visitor.lines()] == [refusal.value.request_id]


def test_an_organization_is_the_address_that_nginx_saw_whatever_a_client_says(
    house: House, newcomer: Callable[..., Visitor]
) -> None:
    first, second = newcomer("127.0.0.2"), newcomer("127.0.0.3")
    claims = {"x-forwarded-for": second.address, "x-real-ip": second.address, "forwarded": f"for={second.address}"}
    with first.openai(default_headers=claims) as client:
        for _ in range(BURST):
            client.models.list()
        with pytest.raises(openai.RateLimitError, match="Rate limit reached") as refusal:
            client.models.list()
    assert refusal.value.response.headers["x-ratelimit-remaining-requests"] == "0"
    with second.http(**{"x-forwarded-for": first.address}) as http:
        assert http.get("/v1/models").headers["x-ratelimit-remaining-requests"] == str(BURST - 1)
    assert {line["organization"] for line in first.lines(BURST + 1)} == {"ip:127.0.0.2"}
    assert [line["organization"] for line in second.lines()] == ["ip:127.0.0.3"]
    assert house.gateway.idle()


def test_a_body_over_the_bound_is_the_same_413_at_nginx_and_at_the_gateway(house: House, visitor: Visitor) -> None:
    fits = orjson.dumps({**BODY, "max_tokens": 1}).ljust(MAX_BODY)
    with visitor.http() as edge, house.gateway.client() as direct:
        for client in (edge, direct):
            client.headers["content-type"] = "application/json"
        assert [client.post(CHAT, content=fits).status_code for client in (edge, direct)] == [200, 200]
        refusals = [client.post(CHAT, content=fits + b" ") for client in (edge, direct)]
        chunked = edge.post(CHAT, content=iter([fits, b" "]))
    assert [answer.status_code for answer in (*refusals, chunked)] == [413] * 3
    assert refusals[0].json() == refusals[1].json() == chunked.json()
    assert refusals[0].json()["error"]["code"] == "request_too_large"
    assert len(house.rows()) == 2
    # nginx's own answers: the gateway heard of the first request alone.
    assert [line["status"] for line in visitor.lines()] == [200]


def test_what_is_the_operators_is_hidden_from_everyone_else(house: House, newcomer: Callable[..., Visitor]) -> None:
    claims = {"x-real-ip": OPERATOR, "x-forwarded-for": OPERATOR}
    with newcomer().http(**claims) as outside:
        refusals = [outside.get(path) for path in ("/metrics", "/admin", "/admin/", "/admin/v1/keys")]
    assert {(answer.status_code, answer.json()["error"]["code"]) for answer in refusals} == {(404, "not_found")}
    assert [passed_on_to(house, answer.headers["x-request-id"]) for answer in refusals] == [""] * 4
    with newcomer(OPERATOR).http() as inside:
        assert "gateway_requests_total" in inside.get("/metrics").text


def passed_on_to(house: House, request_id: str) -> str:
    """Where nginx sent a request: empty when it answered itself."""
    mark = f'"request_id":"{request_id}"'
    line = wait_until(lambda: [line for line in house.nginx.log().splitlines() if mark in line])[0]
    return str(orjson.loads(line)["upstream"])


def test_the_documentation_works_under_the_policy_that_arrives(house: House, visitor: Visitor, tmp_path: Path) -> None:
    with visitor.http() as client:
        page = client.get("/docs")
    assert page.headers.get_list("content-security-policy") == [POLICY]
    dom, complaints = browse(f"{house.nginx.https_url}/docs", tmp_path)
    assert 'data-path="/v1/rerank"' in dom.replace("\u200b", "")
    assert complaints == []


@pytest.fixture
def _workers_are_back(house: House) -> Iterator[None]:
    yield
    wait_until(lambda: len(house.gateway.worker_pids()) == 2)


@pytest.mark.usefixtures("_workers_are_back")
def test_a_gateway_that_is_killed_is_502_without_a_replay_and_is_back_at_once(house: House, visitor: Visitor) -> None:
    house.pace(ttft_ms=60_000)
    # A request before it, for on a connection that nginx reuses it would be the most tempted to send a second time.
    first = ["--output", "/dev/null", visitor.curl.url + "/health", "--next"]
    with visitor.curl.start(CHAT, *first, "--silent", "--include", *posting(BODY)) as process:
        house.chat_is("running")
        for pid in house.gateway.worker_pids():
            os.kill(pid, signal.SIGKILL)  # workers of this test's own gateway
        answer = process.communicate(timeout=10)[0].decode()
    head, _, body = answer.partition("\r\n\r\n")
    assert " 502" in head.splitlines()[0]
    assert "x-should-retry: false" in head.lower()
    assert orjson.loads(body)["error"]["code"] == "bad_gateway"
    with visitor.http() as client:
        wait_until(lambda: client.get("/health").status_code == httpx.codes.OK)
        house.pace(ttft_ms=0)
        assert client.post(CHAT, json={**BODY, "max_tokens": 1}).status_code == 200
    assert [row["ended"] for row in sorted(house.rows(), key=lambda row: row["started"])] == ["aborted", "finished"]
    wait_until(house.gateway.idle)


@pytest.mark.usefixtures("_workers_are_back")
def test_a_stream_of_a_gateway_that_is_killed_does_not_look_complete(
    house: House, visitor: Visitor, version: str
) -> None:
    house.pace(token_ms=20)
    with visitor.curl.start(CHAT, version, *posting(LONG)) as process:
        assert first_event(process).startswith(b"data: ")
        for pid in house.gateway.worker_pids():
            os.kill(pid, signal.SIGKILL)  # workers of this test's own gateway
        rest = process.communicate(timeout=10)[0]
    assert process.returncode == {"--http1.1": PARTIAL_BODY, "--http2": STREAM_RESET}[version]
    assert b"[DONE]" not in rest
