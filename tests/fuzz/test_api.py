"""Does the gateway keep to its own OpenAPI document? Asked by schemathesis, before simulated servers that are well."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from schemathesis.schemas import APIOperation

from gateway.api.endpoints import ENDPOINTS
from gateway.api.operations import OPERATIONS
from gateway.core.endpoint import Access, Dialect, Endpoint
from gateway.payload import peek
from tests.fuzz.effort import examples
from tests.support.gateway import BACKEND_KEY, KEY, Gateway, wait_until
from tests.support.simulators import Simulator

pytestmark = pytest.mark.hypothesis  # of the examples' own, inside the tests, pytest does not know

CONTEXT = "256"
"""Of every model, in tokens: an answer of any length is soon complete."""
CHOICES = 4
CONTROL_SECS = 60.0
"""For the process that answers `/v1/usage`, on a machine that has much else to do."""
CHECKS = [status_code_conformance, content_type_conformance, response_headers_conformance]
ENDS = {
    Dialect.OPENAI: "data: [DONE]\n\n",
    Dialect.RESPONSES: "event: response.",
    Dialect.ANTHROPIC: "event: message_stop\n",
}
MODEL_PATHS = {"/v1/models/{model_id}": "/v1/models/{id}"}
ROWS = {row.path: row for row in ENDPOINTS}
RELAYED = [operation.path for operation in OPERATIONS]
OWN = ["/v1/models", "/v1/models/{model_id}", "/v1/usage", "/health", "/health/detailed", "/ready"]
ASKED_FOR_SOMETHING = {*RELAYED, "/v1/models/{model_id}", "/v1/usage"}
SECRETS = (KEY, BACKEND_KEY, "127.0.0.1", "Traceback", "gateway/", ".py")


def whole(usually: int) -> settings:
    """As many examples, and the first that fails as it is: to shrink it takes longer than a test may run."""
    return settings(examples(usually), phases=[phase for phase in Phase if phase is not Phase.shrink])


numbers = st.integers(-5, 10**20) | st.floats(allow_nan=False, allow_infinity=False)
things = st.lists(st.integers(0, 3), max_size=2) | st.dictionaries(st.text(max_size=3), st.none(), max_size=2)
texts = st.text(st.characters(codec="utf-8"), max_size=8)
no_flag = numbers | things | texts
no_number = (
    things | texts.filter(lambda text: not text.strip().lstrip("+-").replace(".", "").isdecimal()) | st.just(1.5)
)
no_text = numbers | things | st.booleans()
WRONG: dict[str, st.SearchStrategy[Any]] = {
    "model": no_text,
    "stream": no_flag,
    "stream_options": numbers | texts | st.booleans() | st.lists(st.none(), max_size=2),
    "max_tokens": no_number,
    "max_completion_tokens": no_number,
    "max_output_tokens": no_number,
    "n": no_number,
    "temperature": things,
    "previous_response_id": no_text,
    "background": no_flag,
    "store": no_flag,
}
"""What the members that decide must not hold."""


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, Simulator]]:
    flags = ("--max-model-len", CONTEXT, "--api-key", BACKEND_KEY)
    with ExitStack() as stack:
        yield {kind: stack.enter_context(Simulator(kind, *flags)) for kind in ("chat", "text2sql", "embed", "rerank")}


@pytest.fixture(scope="module")
def gateway(servers: dict[str, Simulator], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    addresses = {f"{kind.upper()}_BACKEND{'S' * (kind == 'chat')}": server.url for kind, server in servers.items()}
    freely = {"MAX_RPS_PER_IP": 10_000, "RPS_BURST": 10_000, "MAX_CHOICES": CHOICES}
    with Gateway(tmp_path_factory.mktemp("gateway"), **addresses, **freely) as gateway, gateway.client() as client:
        wait_until(lambda: client.get("/v1/usage").is_success, CONTROL_SECS, "the control process did not start")
        yield gateway


@pytest.fixture(scope="module")
def document(gateway: Gateway) -> dict[str, Any]:
    with gateway.client() as client:
        found: dict[str, Any] = client.get("/openapi.json").json()
    return found


def operation_of(document: dict[str, Any], path: str) -> APIOperation[Any, Any, Any, Any]:
    config = schemathesis.Config.from_dict({"max-stream-events": 10 * int(CONTEXT) * CHOICES})
    return schemathesis.openapi.from_dict(document, config=config)[path]["POST" if path in RELAYED else "GET"]


def is_an_envelope(body: Any, dialect: Dialect) -> bool:
    """Whether a failure is spelled as the dialect's clients read it, and no otherwise."""
    error = body.get("error")
    if not isinstance(error, dict) or not isinstance(error.get("message"), str) or not error["message"]:
        return False
    if dialect is Dialect.ANTHROPIC:
        return body["type"] == "error" and set(body) <= {"type", "error", "request_id"} and bool(error["type"])
    return set(body) == {"error"} and set(error) == {"message", "type", "param", "code"}


def judge(status: int, headers: Any, text: str, row: Endpoint, asked: object) -> None:
    """What holds for every answer of a gateway whose backends are well; `asked` is told where it does not."""
    told = f"asked {asked!r}, answered {status} {text!r}"
    assert status < 500, told
    assert headers["x-request-id"], told
    if status >= 400:
        assert headers["content-type"] == "application/json", told
        assert is_an_envelope(httpx.Response(status, text=text).json(), row.dialect), told
        shown = text.replace("the organization ip:127.0.0.1 ", "")  # a client may be told its own address
        assert not [secret for secret in SECRETS if secret in shown], told


def seen_by(servers: dict[str, Simulator]) -> dict[str, dict[str, Any]]:
    """What has reached any backend, by the gateway's request id."""
    return {row["request_id"]: row for server in servers.values() for row in server.settled()}


@pytest.mark.parametrize(
    "mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["to the schema", "against it"]
)
@pytest.mark.parametrize("path", [*RELAYED, *OWN])
def test_every_answer_is_a_documented_one_and_no_failure_of_the_gateway(
    gateway: Gateway, document: dict[str, Any], path: str, mode: GenerationMode
) -> None:
    operation = operation_of(document, path)
    row = ROWS[MODEL_PATHS.get(path, path)]
    if path not in ASKED_FOR_SOMETHING:
        mode = GenerationMode.POSITIVE  # it takes nothing that could be wrong

    @whole(15)
    @given(operation.as_strategy(generation_mode=mode))
    def ask(case: Case[Any]) -> None:
        response = case.call(base_url=gateway.url, headers={"authorization": f"Bearer {KEY}"})
        judge(response.status_code, {n: v[0] for n, v in response.headers.items()}, response.text, row, case.body)
        # To schemathesis a schema beside `text/event-stream` is each event's; in OpenAPI 3.1 it is the whole text's.
        streamed = response.headers["content-type"][0].startswith("text/event-stream")
        case.validate_response(response, checks=CHECKS if streamed else [*CHECKS, response_schema_conformance])
        assert not streamed or ENDS[row.dialect] in response.text, case.body

    ask()


@pytest.mark.parametrize("path", RELAYED)
def test_a_wrong_type_where_it_decides_is_400_names_the_field_and_reaches_no_backend(
    gateway: Gateway, servers: dict[str, Simulator], document: dict[str, Any], path: str
) -> None:
    row = ROWS[path]
    media = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
    sound: dict[str, Any] = media["examples"]["whole"]["value"]
    refused: set[str] = set()
    flag = st.sampled_from(["include_usage", "continuous_usage_stats"])

    with gateway.client() as client:

        @whole(30)
        @given(
            st.sampled_from(sorted(WRONG)).flatmap(lambda name: st.tuples(st.just(name), WRONG[name]))
            | st.tuples(flag.map("stream_options.{}".format), no_flag)
        )
        def ask(wrong: tuple[str, Any]) -> None:
            name, value = wrong
            outer, _, inner = name.partition(".")
            body = {**sound, outer: {inner: value} if inner else value}
            answer = client.post(path, json=body)
            judge(answer.status_code, answer.headers, answer.text, row, body)
            assert answer.status_code == 400
            error = answer.json()["error"]
            assert row.dialect is Dialect.ANTHROPIC or error["param"] == name
            assert f"'{name}'" in error["message"]
            refused.add(answer.headers["x-request-id"])

        ask()
    assert refused
    assert not refused & set(seen_by(servers))


def test_every_member_that_decides_has_wrong_types_here() -> None:
    assert set(WRONG) == set(peek._SCALARS)


def test_the_paths_asked_here_are_those_of_the_document(document: dict[str, Any]) -> None:
    assert set(document["paths"]) == {*RELAYED, *OWN}


@pytest.mark.parametrize("path", [*RELAYED, *OWN])
def test_every_other_method_is_405_and_a_wrong_key_401(gateway: Gateway, path: str) -> None:
    row = ROWS[MODEL_PATHS.get(path, path)]
    target = path.replace("{model_id}", "qwen")
    with gateway.client() as client:

        @whole(12)
        @given(
            st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY", "PURGE"]),
            st.sampled_from([KEY, KEY + "x", KEY[:-1], "", "\xe9", BACKEND_KEY]),
            st.binary(max_size=20),
        )
        def ask(method: str, key: str, body: bytes) -> None:
            authorization = f"Bearer {key}".encode("latin-1").rstrip()
            answer = client.request(method, target, content=body, headers={b"authorization": authorization})
            judge(answer.status_code, answer.headers, answer.text, row, (method, target, key, body))
            if method not in row.methods:
                assert answer.status_code == 405
                assert set(answer.headers["allow"].split(", ")) == row.methods
            elif row.access is Access.KEY and key != KEY:
                assert answer.status_code in {401, 429}

        ask()


def test_whatever_reached_a_backend_carries_our_key_and_nothing_of_the_clients_head(
    gateway: Gateway, servers: dict[str, Simulator]
) -> None:
    names = st.sampled_from(
        [
            *("x-api-key", "cookie", "x-vllm-priority", "te", "x-forwarded-for", "forwarded", "keep-alive", "via"),
            *("proxy-authorization", "traceparent", "user-agent", "accept", "x-data-parallel-rank", "x-request-id"),
        ]
    )
    fields = st.dictionaries(
        names, st.text("abcXYZ019;=,-", min_size=1, max_size=8).map("canary-{}".format), max_size=5
    )
    passed: set[str] = set()
    body = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}
    with gateway.client() as client:

        @whole(40)
        @given(fields)
        def ask(headers: dict[str, str]) -> None:
            answer = client.post("/v1/chat/completions", json=body, headers=headers)
            assert answer.status_code == 200
            assert "canary" not in str(answer.headers)
            passed.add(answer.headers["x-request-id"])

        ask()
    found = seen_by(servers)
    assert passed <= set(found)
    for number in passed:
        seen = {name.lower(): value for name, value in found[number]["headers"]}
        assert seen.pop("authorization") == f"Bearer {BACKEND_KEY}"
        assert set(seen) == {"host", "content-length", "content-type", "x-request-id"}
        assert "canary" not in str(seen)
