"""What OpenAI's own client for Node.js sees: answers, streams, and errors of the right class."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.e2e.conftest import Fleet, MakeGateway, start_fleet
from tests.support import node
from tests.support.front_door import FrontDoor, front_door
from tests.support.gateway import KEY, Gateway, wait_until

# Fetching the client or nginx's image may take minutes, once; one process, because a gateway takes seconds to start.
pytestmark = [pytest.mark.timeout(240, func_only=True), pytest.mark.xdist_group("node")]

Ask = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    node.require()
    with ExitStack() as stack:
        yield start_fleet(stack, "chat0", "text2sql", "embed", "rerank")


@pytest.fixture(scope="module")
def gateway(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("gateway"), GATEWAY_WORKERS=2, **fleet.settings()) as running:
        yield running


@pytest.fixture(scope="module")
def door(gateway: Gateway) -> Iterator[FrontDoor]:
    with front_door(gateway) as built:
        yield built


@pytest.fixture
def variables(door: FrontDoor, fleet: Fleet) -> dict[str, str]:
    """What the client is told, before servers with nothing switched on."""
    fleet.clear()
    return {"GATEWAY_URL": door.url, "GATEWAY_KEY": KEY, **door.environment()}


@pytest.fixture
def ask(variables: dict[str, str]) -> Ask:
    return lambda call, **more: node.ask(call, {**variables, **more})


def text_of(events: list[dict[str, Any]]) -> str:
    return "".join(event["choices"][0]["delta"].get("content") or "" for event in events if event["choices"])


def test_chat(ask: Ask) -> None:
    answer = ask("chat")["answer"]
    assert answer["model"] == "qwen"
    assert answer["choices"][0]["message"]["content"]


def test_chat_streamed(ask: Ask) -> None:
    events = ask("chat_streamed")["events"]
    assert text_of(events)
    assert {event["model"] for event in events} == {"qwen"}
    assert events[-1]["usage"]["completion_tokens"] == 8


def test_completions(ask: Ask) -> None:
    assert ask("completions")["answer"]["choices"][0]["text"]
    assert "".join(event["choices"][0]["text"] for event in ask("completions_streamed")["events"])


def test_responses(ask: Ask) -> None:
    assert ask("responses")["answer"]["output_text"]
    kinds = [event["type"] for event in ask("responses_streamed")["events"]]
    assert kinds[0] == "response.created"
    assert kinds[-1] in {"response.completed", "response.incomplete"}


def test_embeddings(ask: Ask) -> None:
    first, second, third = (row["embedding"] for row in ask("embeddings")["answer"]["data"])
    assert first == second != third
    assert len(first) == 1024


def test_models(ask: Ask) -> None:
    names = {model["id"] for model in ask("models")["events"]}
    assert {"qwen", "text2sql", "snowflake-arctic-embed", "bge-reranker-v2-m3"} <= names
    assert ask("model")["answer"]["id"] == "Qwen/Qwen2.5-7B-Instruct"


def test_the_paths_that_the_client_does_not_know(ask: Ask) -> None:
    assert "SELECT" in ask("text2sql")["answer"]["choices"][0]["message"]["content"]
    assert [row["index"] for row in ask("rerank")["answer"]["results"]] == [1, 0]


def test_a_wrong_key_is_an_authentication_error_with_the_request_id(ask: Ask, gateway: Gateway) -> None:
    error = ask("models", GATEWAY_KEY="sk-wrong")["error"]
    assert (error["kind"], error["status"], error["code"]) == ("AuthenticationError", 401, "invalid_api_key")
    assert gateway.access_line(error["request_id"])["status"] == 401


def test_an_unknown_model_is_a_not_found_error_that_names_the_known_ones(ask: Ask) -> None:
    error = ask("unknown_model")["error"]
    assert (error["kind"], error["code"]) == ("NotFoundError", "model_not_found")
    assert "`qwen`" in error["message"]


def test_the_rate_limit_is_a_rate_limit_error(fleet: Fleet, make_gateway: MakeGateway) -> None:
    gateway = make_gateway(fleet, MAX_RPS_PER_IP=0.01, RPS_BURST=3)
    seen = node.ask("many", {"GATEWAY_URL": gateway.url, "GATEWAY_KEY": KEY})
    assert seen["events"] == [0, 1, 2]
    assert (seen["error"]["kind"], seen["error"]["code"]) == ("RateLimitError", "rate_limit_exceeded")


@pytest.mark.parametrize("fault", ["reset_mid_stream", "in_band_error", "abort"])
def test_a_stream_that_breaks_raises(ask: Ask, fleet: Fleet, fault: str) -> None:
    fleet["chat0"].set_pace(token_ms=20)  # each event in a piece of its own: a first piece that fails is a plain 502
    fleet["chat0"].set_fault(fault, after=4)
    seen = ask("chat_streamed")
    assert text_of(seen["events"])
    assert seen["error"]["kind"] == "APIError"
    assert seen["error"]["message"]


def test_leaving_a_stream_frees_its_backend(ask: Ask, fleet: Fleet, gateway: Gateway) -> None:
    fleet["chat0"].set_pace(token_ms=100)
    assert len(ask("left_in_mid_stream")["events"]) == 2
    (row,) = fleet["chat0"].settled(requests=1)
    assert row["ended"] == "aborted"
    wait_until(gateway.idle)


def test_aborting_a_whole_answer_frees_its_backend(variables: dict[str, str], fleet: Fleet, gateway: Gateway) -> None:
    fleet["chat0"].set_pace(ttft_ms=60_000)
    with node.asking("left_while_waiting", variables) as process:
        wait_until(lambda: [row for row in fleet["chat0"].ledger() if row["ended"] == "running"], node.PATIENCE)
        assert node.result(process, b"leave\n")["error"]["kind"] == "APIUserAbortError"
    (row,) = fleet["chat0"].settled(requests=1)
    assert row["ended"] == "aborted"
    wait_until(gateway.idle)
