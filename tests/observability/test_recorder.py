"""One line and one set of figures for each request, whatever its path, its client or its backend made of it."""

from typing import Any

import orjson
import pytest
from msgspec.structs import fields

from gateway.api.endpoints import ENDPOINTS
from gateway.core.context import Phase, RequestContext
from gateway.core.refusal import Refusal
from gateway.core.usage import Usage
from gateway.middleware.request_scope import UNKNOWN
from gateway.observability.access_line import access_line
from gateway.observability.families.limits import REFUSALS
from gateway.observability.recorder import Recorder
from gateway.observability.redaction import Redactor
from tests.core.hand_time import HandTime
from tests.core.requests import CHAT, context
from tests.observability.noted import CountedMetrics

pytestmark = pytest.mark.anyio


class Shelf:
    """A recorder, and the lines and figures it made; every request took 1.5 s."""

    def __init__(self, *, console: bool = False, writes: bool = True) -> None:
        self.lines: list[bytes] = []
        self.metrics = CountedMetrics()
        time = HandTime(1001.5)
        writer: Any = self if writes else None
        self._recorder = Recorder(self.metrics, writer, time, access_line(Redactor(), console=console))

    def write(self, line: bytes) -> None:
        self.lines.append(line)

    def record(self, ctx: RequestContext) -> str:
        self._recorder.record(ctx)
        return self.lines[-1].decode() if self.lines else ""


def answered(**known: Any) -> RequestContext:
    everything = {
        "client_ip": "203.0.113.7",
        "organization": "ip:203.0.113.7",
        "phase": Phase.DONE,
        "group": "chat",
        "backend": "chat0",
        "attempts": 1,
        "status": 200,
        "outcome": "ok",
        "streamed": True,
        "queue_wait": 0.25,
        "first_token_at": 1000.75,
        "usage": Usage(5, 7),
        "bytes_in": 100,
        "bytes_out": 2000,
        "answer_started": True,
        "answer_complete": True,
    }
    return context(CHAT, **{**everything, **known})


async def test_a_line_says_what_became_of_the_request() -> None:
    line = Shelf().record(answered(client_request_id="mine"))
    assert line.endswith("}\n")
    assert orjson.loads(line) == {
        "timestamp": "2026-11-21T01:04:02.500+00:00",
        "event": "request",
        "request_id": "req1",
        "client_request_id": "mine",
        "trace_id": None,
        "organization": "ip:203.0.113.7",
        "key": None,
        "client": "203.0.113.7",
        "method": "POST",
        "path": "/v1/chat/completions",
        "model": "chat",
        "backend": "chat0",
        "attempts": 1,
        "status": 200,
        "outcome": "ok",
        "streamed": True,
        "cache": None,
        "prompt_tokens": 5,
        "completion_tokens": 7,
        "queue_ms": 250.0,
        "ttft_ms": 750.0,
        "duration_ms": 1500.0,
        "bytes_in": 100,
        "bytes_out": 2000,
        "disconnect_phase": None,
    }


async def test_what_is_not_known_is_null() -> None:
    ctx = answered(organization="", group="", backend=None, queue_wait=None, first_token_at=None, usage=None)
    line = orjson.loads(Shelf().record(ctx))
    absent = {"client_request_id", "organization", "model", "backend", "queue_ms", "ttft_ms", "disconnect_phase"}
    absent |= {"trace_id", "key", "cache", "prompt_tokens", "completion_tokens"}
    assert {name for name, value in line.items() if value is None} == absent


async def test_no_text_of_a_request_and_none_of_its_fields_is_logged() -> None:
    secret = "sk-canary"
    ctx = answered(body=secret.encode(), plan=secret, answer_headers=[(b"x", secret.encode())], peer=secret)
    assert {"body", "plan", "answer_headers", "peer"} <= {field.name for field in fields(ctx)}
    for console in (False, True):
        assert secret not in Shelf(console=console).record(ctx)


@pytest.mark.parametrize(
    "path",
    ['/v1"} {"event":"request"', "/\n{}", "/\x1b[31m", "/\u2028", "/\x85", "/ 200 ok 0 ms", "/\u202eevil", "/\0"],
)
@pytest.mark.parametrize("console", [False, True])
async def test_a_path_writes_no_line_of_its_own(path: str, *, console: bool) -> None:
    line = Shelf(console=console).record(answered(path=path))
    assert line.count("\n") == 1
    if console:
        assert line[:-1].isprintable()
    else:
        assert orjson.loads(line)["path"] == path


@pytest.mark.parametrize("console", [False, True])
async def test_a_long_path_is_cut(*, console: bool) -> None:
    line = Shelf(console=console).record(answered(path="/" + "x" * 100_000))
    assert 256 < len(line) < 1000


async def test_a_line_for_people_is_short_and_says_the_same() -> None:
    line = Shelf(console=True).record(answered())
    assert line.startswith("01:04:02 200 ok ")
    for part in ("POST /v1/chat/completions chat0", "1500 ms", "first token 750 ms", "5+7 tokens", "req1"):
        assert part in line
    assert "left while" not in line


async def test_a_line_for_people_leaves_out_what_is_not_known() -> None:
    line = Shelf(console=True).record(answered(first_token_at=None, usage=None, backend=None))
    assert "first token" not in line
    assert "tokens" not in line
    assert " - " in line


async def test_a_line_for_people_says_when_a_client_left() -> None:
    line = Shelf(console=True).record(answered(disconnect_phase=Phase.QUEUED, status=499, outcome="client_gone"))
    assert "499 client_gone" in line
    assert "left while queued" in line


async def test_figures_are_counted_with_bounded_labels() -> None:
    shelf = Shelf()
    shelf.record(answered(event_stream=True, sent_at=1000.5, disconnect_phase=Phase.ANSWERING))
    path = "/v1/chat/completions"
    assert shelf.metrics.counted == {
        ("gateway_requests", path, "chat", "200", "ok"): 1,
        ("gateway_tokens", "chat", "prompt"): 5,
        ("gateway_tokens", "chat", "completion"): 7,
        ("gateway_stream_endings", "chat", "done"): 1,
        ("gateway_client_disconnects", "answering"): 1,
    }
    assert shelf.metrics.observed == {
        ("gateway_request_duration_seconds", path, "chat"): (1.5, 1),
        ("gateway_overhead_seconds", path): (0.25, 1),  # of 0.5 s it has waited for half
        ("gateway_queue_wait_seconds", "chat"): (0.25, 1),
        ("gateway_time_to_first_token_seconds", "chat"): (0.75, 1),
        ("gateway_output_tokens_per_second", "chat"): (8.0, 1),  # six tokens behind the first one in 0.75 s
    }


async def test_what_did_not_happen_is_not_counted() -> None:
    shelf = Shelf()
    shelf.record(answered(queue_wait=None, first_token_at=None, usage=None))
    assert set(shelf.metrics.counted) == {("gateway_requests", "/v1/chat/completions", "chat", "200", "ok")}
    assert {family for family, *_ in shelf.metrics.observed} == {"gateway_request_duration_seconds"}


@pytest.mark.parametrize("known", [{"usage": None}, {"usage": Usage(5, 1)}, {"first_token_at": 1001.5}])
async def test_a_rate_needs_a_second_token_and_time_for_it(known: dict[str, Any]) -> None:
    shelf = Shelf()
    shelf.record(answered(event_stream=True, **known))
    assert "gateway_output_tokens_per_second" not in {family for family, *_ in shelf.metrics.observed}


async def test_a_stream_that_ran_into_its_bound_is_told_apart() -> None:
    shelf = Shelf()
    for reason in ("stop", "length", "length"):
        shelf.record(answered(event_stream=True, finish_reason=reason))
    endings = {
        tuple(labels): count for (family, *labels), count in shelf.metrics.counted.items() if "endings" in family
    }
    assert endings == {("chat", "done"): 1, ("chat", "length"): 2}


async def test_a_refusal_is_counted_by_what_it_is_about_and_all_reasons_are_there_before() -> None:
    shelf = Shelf()
    shelf.record(answered(status=429, outcome="rate_limit_exceeded", refusal=Refusal.TOKENS))
    assert shelf.metrics.counted["gateway_refusals", "tokens"] == 1
    there = {labels for family, labels in shelf.metrics._figures if family is REFUSALS}
    assert there == {(reason,) for reason in Refusal}


async def test_ten_thousand_made_up_paths_are_one_series() -> None:
    shelf = Shelf(writes=False)
    for number in range(10_000):
        shelf.record(context(UNKNOWN, path=f"/{number}", status=404, outcome="not_found"))
    assert set(shelf.metrics.counted) == {("gateway_requests", "other", "", "404", "not_found")}
    assert "other" not in {row.path for row in ENDPOINTS}


async def test_without_an_access_log_the_figures_are_counted_all_the_same() -> None:
    shelf = Shelf(writes=False)
    shelf.record(answered())
    assert shelf.lines == []
    assert shelf.metrics.counted["gateway_tokens", "chat", "prompt"] == 5
