"""A request leaves one trace: its client's span, ours, and the backend's under ours."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.core.traceparent import parent_of
from tests.e2e.conftest import Fleet, MakeGateway
from tests.support.collector import CLIENT, INTERNAL, SERVER, Collector
from tests.support.gateway import BACKEND_KEY, KEY, Gateway, RawClient, wait_until

PATH = "/v1/chat/completions"
BODY: dict[str, Any] = {"model": "qwen", "messages": [{"role": "user", "content": "count"}], "max_tokens": 4}
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
ADMIN = "admin-0123456789abcdef"
SAMPLED = f"00-{TRACE}-{PARENT}-01"
UNSAMPLED = f"00-{TRACE}-{PARENT}-00"
QUEUE_SECS = 4.0
"""Long enough for a busy machine to show the figure of a request that waits."""


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        yield collector


@pytest.fixture(scope="module")
def traced_gateway(
    chat_servers: Fleet, collector: Collector, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    settings = {
        **chat_servers.settings(),
        "OTEL_TRACES_ENABLED": True,
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_SERVICE_NAME": "the gateway",
        "MAX_RPS_PER_IP": 10_000,
        "RPS_BURST": 10_000,
        "CIRCUIT_FAILURE_THRESHOLD": 1_000_000,
        "MAX_INFLIGHT_PER_IP": 1,
        "QUEUE_TIMEOUT_SECS": QUEUE_SECS,
    }
    with Gateway(tmp_path_factory.mktemp("gateway"), **settings) as gateway:
        wait_until(gateway.well)
        yield gateway


@pytest.fixture
def traced(traced_gateway: Gateway, chat_fleet: Fleet) -> Gateway:
    wait_until(traced_gateway.well)
    chat_fleet.clear()
    return traced_gateway


def told(fleet: Fleet, header: str = "traceparent") -> list[str]:
    """What backends were told, in the order of their requests."""
    rows = [row for server in fleet.servers.values() for row in server.ledger()]
    rows.sort(key=lambda row: row["started"])
    return [value for row in rows for name, value in row["headers"] if name == header]


def ask(gateway: Gateway, *, stream: bool = False, path: str = PATH, **headers: str) -> tuple[int, str]:
    """Status and request id of one request."""
    with gateway.client() as client:
        answer = client.post(path, json={**BODY, "stream": stream}, headers=headers)
    return answer.status_code, answer.headers["x-request-id"]


def of_request(request_id: str) -> Any:
    return lambda span: span.attributes.get("gateway.request_id") == request_id


@pytest.mark.parametrize("stream", [False, True])
def test_the_clients_trace_goes_through_us_to_the_backend(
    traced: Gateway, chat_fleet: Fleet, collector: Collector, *, stream: bool
) -> None:
    trace = f"{0xABCDEF + stream:032x}"
    status, request_id = ask(traced, stream=stream, traceparent=f"00-{trace}-{PARENT}-01", tracestate="a=1,b=2")
    server, upstream = collector.trace(trace, 2)
    (line,) = [parent_of(value.encode()) for value in told(chat_fleet)]
    assert status == 200
    assert line is not None
    assert (line.trace_id, line.span_id, line.sampled) == (trace, upstream.span_id, True)
    assert told(chat_fleet, "tracestate") == ["a=1,b=2"]
    assert (server.parent_id, upstream.parent_id) == (PARENT, server.span_id)
    assert (server.kind, upstream.kind) == (SERVER, CLIENT)
    assert (server.state, upstream.state) == ("a=1,b=2", "a=1,b=2")
    assert server.began <= upstream.began <= upstream.ended <= server.ended
    assert (server.name, upstream.name) == (f"POST {PATH}", f"chat {upstream.attributes['gen_ai.request.model']}")
    access = traced.access_line(request_id)
    assert access["trace_id"] == trace
    assert server.attributes == {
        "http.request.method": "POST",
        "http.route": PATH,
        "http.response.status_code": 200,
        "gateway.outcome": "ok",
        "gateway.request_id": request_id,
        "gateway.organization": "ip:127.0.0.1",
        "gateway.model": "chat",
        "gateway.attempts": 1,
        "gateway.queue_wait": server.attributes["gateway.queue_wait"],
        **({"gateway.time_to_first_token": server.attributes["gateway.time_to_first_token"]} if stream else {}),
    }
    backend = chat_fleet[access["backend"]]
    assert upstream.attributes["server.address"] == "127.0.0.1"
    assert backend.url.endswith(f":{upstream.attributes['server.port']}")
    assert upstream.attributes["gen_ai.operation.name"] == "chat"
    assert upstream.attributes["gen_ai.usage.input_tokens"] == access["prompt_tokens"]
    assert upstream.attributes["gen_ai.usage.output_tokens"] == access["completion_tokens"] == 4
    assert upstream.attributes["http.response.status_code"] == 200
    assert ("gen_ai.response.time_to_first_chunk" in upstream.attributes) == stream
    assert upstream.resource["service.name"] == "the gateway"


def test_a_trace_begins_here_where_the_client_has_none(
    traced: Gateway, chat_fleet: Fleet, collector: Collector
) -> None:
    _, request_id = ask(traced)
    (server,) = collector.spans(1, of_request(request_id))
    assert server.parent_id == ""
    assert traced.access_line(request_id)["trace_id"] == server.trace_id
    _, upstream = collector.trace(server.trace_id, 2)
    assert told(chat_fleet) == [f"00-{server.trace_id}-{upstream.span_id}-01"]


def test_each_replica_that_is_tried_has_a_span_and_is_told_of_its_own(
    traced: Gateway, chat_fleet: Fleet, collector: Collector
) -> None:
    for backend in chat_fleet.servers.values():
        backend.set_fault("status", status=503, form="queue_full", count=1)
    trace = f"{0x1111:032x}"
    status, _ = ask(traced, traceparent=f"00-{trace}-{PARENT}-01")
    server_span, first, second = collector.trace(trace, 3)
    assert status == 503
    assert [parent_of(value.encode()) for value in told(chat_fleet)] == [
        (trace, first.span_id, True),
        (trace, second.span_id, True),
    ]
    assert first.parent_id == second.parent_id == server_span.span_id
    assert first.attributes["gateway.backend"] != second.attributes["gateway.backend"]
    assert [span.attributes["http.response.status_code"] for span in (first, second)] == [503, 503]
    assert [span.attributes.get("http.request.resend_count") for span in (first, second)] == [None, 1]
    assert first.ended <= second.began
    assert all(span.failed for span in (server_span, first, second))
    assert server_span.attributes["error.type"] == server_span.attributes["gateway.outcome"]


def test_a_replica_that_is_not_there_has_a_span_without_a_status(
    traced: Gateway, chat_fleet: Fleet, collector: Collector
) -> None:
    for backend in chat_fleet.servers.values():
        backend.set_fault("refuse")
    trace = f"{0x2222:032x}"
    status, _ = ask(traced, traceparent=f"00-{trace}-{PARENT}-01")
    spans = collector.spans(1, lambda span: span.trace_id == trace and span.kind == SERVER)
    assert status == 503
    upstream = collector.spans(
        spans[0].attributes["gateway.attempts"], lambda span: span.trace_id == trace and span.kind == CLIENT
    )
    assert upstream
    assert {span.attributes["error.type"] for span in upstream} <= {"refused", "closed"}
    assert not any("http.response.status_code" in span.attributes for span in upstream)
    assert told(chat_fleet) == []


def test_a_backend_that_breaks_off_is_the_error_of_both_spans(
    traced: Gateway, chat_fleet: Fleet, collector: Collector
) -> None:
    for backend in chat_fleet.servers.values():
        backend.set_fault("eof_mid_stream", after=2)
    trace = f"{0x3333:032x}"
    with traced.client() as client, pytest.raises(httpx.RemoteProtocolError):
        client.post(PATH, json={**BODY, "stream": True}, headers={"traceparent": f"00-{trace}-{PARENT}-01"})
    server, upstream = collector.trace(trace, 2)
    assert (server.failed, server.attributes["http.response.status_code"]) == (True, 200)
    assert (upstream.failed, upstream.attributes["error.type"]) == (True, "cut")


def test_a_departure_is_no_error_and_ends_both_spans(traced: Gateway, chat_fleet: Fleet, collector: Collector) -> None:
    for backend in chat_fleet.servers.values():
        backend.set_pace(ttft_ms=60_000)
    trace = f"{0x4444:032x}"
    client = RawClient(traced.port).post(PATH, BODY, headers=f"Traceparent: 00-{trace}-{PARENT}-01\r\n")
    wait_until(lambda: told(chat_fleet))
    client.reset()
    server, upstream = collector.trace(trace, 2)
    assert not server.failed
    assert not upstream.failed
    assert (server.attributes["gateway.outcome"], server.attributes["gateway.client_left"]) == (
        "client_gone",
        "waiting",
    )
    assert upstream.attributes["error.type"] == "client_gone"


def test_a_wait_for_a_slot_is_a_span_before_the_attempt(
    traced: Gateway, chat_fleet: Fleet, collector: Collector
) -> None:
    """Of one slot the first request holds it, the second waits until that ends, the third gives up."""
    for backend in chat_fleet.servers.values():
        backend.set_pace(ttft_ms=60_000)
    with RawClient(traced.port).post(PATH, BODY) as first:
        wait_until(lambda: told(chat_fleet))
        refused = f"{0x5555:032x}"
        status, _ = ask(traced, traceparent=f"00-{refused}-{PARENT}-01")
        assert status == 429
        server, wait = collector.trace(refused, 2)
        assert (wait.name, wait.kind, wait.parent_id) == ("queue", INTERNAL, server.span_id)
        assert QUEUE_SECS - 0.01 <= wait.ended - wait.began <= server.ended - server.began
        assert (server.failed, server.attributes["gateway.outcome"]) == (False, "queue_timeout")
        for backend in chat_fleet.servers.values():
            backend.set_pace(ttft_ms=0)
        trace = f"{0x6666:032x}"
        with RawClient(traced.port) as second:
            second.post(PATH, BODY, headers=f"Traceparent: 00-{trace}-{PARENT}-01\r\n")
            wait_until(lambda: traced.metrics()["gateway_queued_requests"])
            first.reset()
            second.until(b"200 OK")
    server, wait, upstream = collector.trace(trace, 3)
    assert (wait.name, wait.parent_id) == ("queue", server.span_id)
    assert wait.ended == pytest.approx(upstream.began, rel=0, abs=1e-5)
    assert wait.ended - wait.began == pytest.approx(server.attributes["gateway.queue_wait"], abs=1e-6)


@pytest.mark.parametrize(
    ("body", "key", "status"), [(b"{", "", 400), (b'{"model":"nope","messages":[]}', "", 404), (b"{}", "wrong", 401)]
)
def test_a_refusal_has_a_span_of_its_own_alone(
    traced: Gateway, collector: Collector, body: bytes, key: str, status: int
) -> None:
    with traced.client() as client:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        answer = client.post(PATH, content=body, headers=headers)
    assert answer.status_code == status
    (span,) = collector.spans(1, of_request(answer.headers["x-request-id"]))
    assert (span.attributes["http.response.status_code"], span.failed) == (status, False)
    assert collector.trace(span.trace_id, 1) == [span]


def test_what_the_client_does_not_record_is_passed_on_and_not_recorded_here(
    traced: Gateway, chat_fleet: Fleet, collector: Collector
) -> None:
    _, request_id = ask(traced, traceparent=UNSAMPLED, tracestate="a=1")
    _, later = ask(traced)
    collector.spans(1, of_request(later))
    assert collector.spans(0, of_request(request_id)) == []
    assert told(chat_fleet)[0] == UNSAMPLED
    assert told(chat_fleet, "tracestate") == ["a=1"]
    assert traced.access_line(request_id)["trace_id"] == TRACE


@pytest.mark.parametrize(
    "value",
    [
        SAMPLED.upper(),
        f"00-{'0' * 32}-{PARENT}-01",
        f"{SAMPLED}-more",
        f"{SAMPLED}, {SAMPLED}",
        "ff" + SAMPLED[2:],
        "x" * 4000,
        f"{SAMPLED}\x80\xff",
        "",
    ],
)
def test_what_is_no_traceparent_is_as_none(
    traced: Gateway, chat_fleet: Fleet, collector: Collector, value: str
) -> None:
    data = b'{"model":"qwen","messages":[{"role":"user","content":"x"}],"max_tokens":1}'
    head = f"POST {PATH} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {KEY}\r\nContent-Length: {len(data)}\r\n"
    fields = f"Traceparent: {value}\r\nTracestate: a=1\r\n\r\n"
    with RawClient(traced.port) as client:
        answer = client.send((head + fields).encode("latin-1") + data).until(b"\r\n\r\n")
    assert b"200 OK" in answer
    (request_id,) = re.findall(r"x-request-id: (\S+)", answer.decode())
    (server,) = collector.spans(1, of_request(request_id))
    assert server.parent_id == server.state == ""
    _, upstream = collector.trace(server.trace_id, 2)
    assert told(chat_fleet) == [f"00-{server.trace_id}-{upstream.span_id}-01"]
    assert told(chat_fleet, "tracestate") == []


def test_paths_without_a_backend_are_recorded_where_their_client_records_them(
    traced: Gateway, collector: Collector
) -> None:
    trace = f"{0x7777:032x}"
    with traced.client() as client:
        plain = client.get("/v1/models").headers["x-request-id"]
        client.get("/v1/models", headers={"traceparent": f"00-{trace}-{PARENT}-01"})
    (server,) = collector.trace(trace, 1)
    assert (server.name, server.parent_id) == ("GET /v1/models", PARENT)
    assert collector.spans(0, of_request(plain)) == []


def test_a_canary_is_found_in_no_span_and_no_file_of_the_gateways(
    chat_fleet: Fleet, make_gateway: MakeGateway, tmp_path: Path
) -> None:
    """A key of the admin API's making, a wrong one, a prompt, and the key that backends are shown."""
    prompt, wrong, data = "canary-in-the-prompt", "sk-canary-that-is-wrong", tmp_path / "data"
    with Collector() as collector:
        settings = {"OTEL_TRACES_ENABLED": True, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "ADMIN_API_KEY": ADMIN}
        with make_gateway(chat_fleet, **settings, DATA_PATH=data) as gateway, gateway.client() as client:
            wait_until(gateway.well)
            admin = {"authorization": f"Bearer {ADMIN}"}
            wait_until(lambda: client.get("/admin/v1/keys", headers=admin).status_code == httpx.codes.OK)
            made = client.post("/admin/v1/keys", json={"name": "canary"}, headers=admin).json()["key"]
            body = {**BODY, "messages": [{"role": "user", "content": prompt}], "user": prompt}

            def ask_with(key: str) -> int:
                headers = {"authorization": f"Bearer {key}", "traceparent": SAMPLED, "tracestate": "a=1"}
                return client.post(PATH, json=body, headers=headers).status_code

            wait_until(lambda: ask_with(made) == httpx.codes.OK)
            assert ask_with(wrong) == httpx.codes.UNAUTHORIZED
            wait_until(lambda: gateway.metrics()["gateway_traces_exported_total"] >= 3)
            assert gateway.stop() == 0
        written = [file.read_bytes() for file in data.rglob("*") if file.is_file()]
        everything = b"".join([*written, *collector.raw])
    assert made[:8].encode() in everything, "the key's beginning may be shown"
    assert [canary for canary in (made, prompt, wrong, BACKEND_KEY, ADMIN) if canary.encode() in everything] == []


def test_without_tracing_what_the_client_says_goes_on_as_it_came(chat_fleet: Fleet, make_gateway: MakeGateway) -> None:
    with make_gateway(chat_fleet) as gateway:
        wait_until(gateway.well)
        _, request_id = ask(gateway, traceparent=SAMPLED, tracestate="a=1")
        _, plain = ask(gateway)
        ask(gateway, traceparent="00-what-ever")
        assert gateway.access_line(request_id)["trace_id"] == TRACE
        assert gateway.access_line(plain)["trace_id"] is None
    assert told(chat_fleet) == [SAMPLED]
    assert told(chat_fleet, "tracestate") == ["a=1"]


def test_at_a_ratio_of_nothing_backends_begin_no_trace_either(
    chat_fleet: Fleet, make_gateway: MakeGateway, collector: Collector
) -> None:
    settings = {"OTEL_TRACES_ENABLED": True, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
    with make_gateway(chat_fleet, **settings, OTEL_TRACES_SAMPLER_ARG=0) as gateway:
        wait_until(gateway.well)
        _, request_id = ask(gateway)
        trace = f"{0x8888:032x}"
        ask(gateway, traceparent=f"00-{trace}-{PARENT}-01")
        line = gateway.access_line(request_id)
        collector.trace(trace, 2)
    assert collector.spans(0, of_request(request_id)) == []
    parent = parent_of(told(chat_fleet)[0].encode())
    assert parent is not None
    assert (parent.trace_id, parent.sampled) == (line["trace_id"], False)


def test_at_a_ratio_of_nothing_no_stranger_is_recorded_and_who_shows_a_key_decides(
    chat_fleet: Fleet, make_gateway: MakeGateway, collector: Collector
) -> None:
    """However the strangers' traces are numbered, and also where the key's owner is refused behind the door."""
    settings = {"OTEL_TRACES_ENABLED": True, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
    with make_gateway(chat_fleet, **settings, OTEL_TRACES_SAMPLER_ARG=0) as gateway, gateway.client() as client:
        wait_until(gateway.well)
        wrong = {"authorization": "Bearer wrong"}
        strangers = [("POST", PATH, wrong), ("POST", "/v1/nothing", {}), ("GET", "/health", {}), ("PUT", PATH, {})]
        statuses, traces = [], []
        for number, (method, path, headers) in enumerate(strangers, 0x9990):
            for trace in (f"{number:032x}", f"{number:016x}{'f' * 16}"):
                traces.append(trace)
                fields = {**headers, "traceparent": f"00-{trace}-{PARENT}-01"}
                answer = client.request(method, path, json=BODY if method != "GET" else None, headers=fields)
                statuses.append(answer.status_code)
                assert gateway.access_line(answer.headers["x-request-id"])["trace_id"] == trace
        known = f"{0x9999:032x}"
        refused = client.post(PATH, content=b"{", headers={"traceparent": f"00-{known}-{PARENT}-01"})
        (span,) = collector.trace(known, 1)
    assert statuses == [401, 401, 404, 404, 200, 200, 405, 405]
    assert (refused.status_code, span.attributes["http.response.status_code"]) == (400, 400)
    assert collector.spans(0, lambda span: span.trace_id in traces) == []


def test_what_is_left_is_exported_as_a_worker_ends(
    chat_fleet: Fleet, make_gateway: MakeGateway, collector: Collector
) -> None:
    settings = {"OTEL_TRACES_ENABLED": True, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
    with make_gateway(chat_fleet, **settings) as gateway:
        wait_until(gateway.well)
        asked = [ask(gateway)[1] for _ in range(3)]
        assert gateway.stop() == 0
    for request_id in asked:
        collector.spans(1, of_request(request_id))


@pytest.mark.parametrize("how", ["gone", "silent", "refusing"])
def test_a_collector_that_takes_nothing_costs_nothing_but_spans(
    chat_fleet: Fleet, make_gateway: MakeGateway, how: str
) -> None:
    with Collector() as collector:
        if how == "silent":
            collector.answering.clear()
        collector.status = 400
        url = "http://127.0.0.1:9" if how == "gone" else collector.url
        with make_gateway(chat_fleet, OTEL_TRACES_ENABLED=True, OTEL_EXPORTER_OTLP_ENDPOINT=url) as gateway:
            wait_until(gateway.well)
            assert [ask(gateway)[0] for _ in range(20)] == [200] * 20
            wait_until(lambda: gateway.metrics()["gateway_traces_dropped_total"] >= 2)
            (event, *more) = wait_until(lambda: gateway.events("traces_not_taken"))
            assert event["reason"]
            assert more == []
            if how == "refusing":
                collector.status = 200
                wait_until(lambda: [ask(gateway), gateway.events("traces_taken_again")][1])
                assert gateway.metrics()["gateway_traces_exported_total"] > 0
            assert gateway.stop() == 0
