"""A line is the same whether its shape was seen before or not, and a path cannot pass for another column of it."""

import tracemalloc
from typing import Any

import orjson
import pytest

from gateway.core.context import Phase
from gateway.core.principal import Principal
from gateway.core.usage import Usage
from gateway.observability import access_line
from gateway.observability.access_line import JsonLine, console_line
from gateway.observability.redaction import Redactor
from tests.core.requests import CHAT, context

pytestmark = pytest.mark.anyio

WALL = 1_795_223_042.25


async def test_a_shape_seen_before_is_written_alike() -> None:
    line = JsonLine(Redactor())
    assert line(context(), 1.5, WALL) == line(context(), 1.5, WALL) == JsonLine(Redactor())(context(), 1.5, WALL)


async def test_requests_of_one_shape_keep_their_own_figures() -> None:
    line = JsonLine(Redactor())
    first, second = (orjson.loads(line(context(CHAT, bytes_in=size), 1.5, WALL)) for size in (1, 2))
    assert (first.pop("bytes_in"), second.pop("bytes_in")) == (1, 2)
    assert first == second


async def test_lines_that_wait_take_the_memory_of_their_bytes() -> None:
    """The writers bound what waits by its length."""
    line, ctx = JsonLine(Redactor()), context()
    line(ctx, 1.5, WALL)
    tracemalloc.start()
    try:
        lines = [line(ctx, 1.5, WALL) for _ in range(1000)]
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < 1.3 * sum(map(len, lines))


async def test_whatever_differs_differs_in_the_line_also_after_another_shape() -> None:
    line = JsonLine(Redactor())
    known: dict[str, Any] = {
        "method": "PUT",
        "path": "/x",
        "group": "chat",
        "backend": "chat0",
        "attempts": 2,
        "status": 429,
        "outcome": "full",
        "streamed": True,
        "client_ip": "203.0.113.7",
        "organization": "ip:203.0.113.7",
        "client_request_id": "mine",
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
        "principal": Principal("org:acme", "k1", "gw-ab12cd"),
        "cache": "hit",
        "request_id": "req2",
        "bytes_in": 3,
        "bytes_out": 4,
        "usage": Usage(5, 6),
        "queue_wait": 0.5,
        "first_token_at": 1000.5,
        "disconnect_phase": Phase.QUEUED,
    }
    line(context(), 1.5, WALL)
    for name, value in known.items():
        written = orjson.loads(line(context(**{name: value}), 1.5, WALL))
        fresh = orjson.loads(JsonLine(Redactor())(context(**{name: value}), 1.5, WALL))
        assert written == fresh != orjson.loads(line(context(), 1.5, WALL))


@pytest.mark.parametrize(
    ("seconds", "milliseconds"),
    [(0.0, b"0.0"), (0.0123456, b"12.346"), (0.1 + 0.2, b"300.0"), (5400.0000004, b"5400000.0"), (1e-7, b"0.0")],
)
async def test_durations_are_milliseconds_to_the_microsecond(seconds: float, milliseconds: bytes) -> None:
    assert b'"duration_ms":' + milliseconds + b"," in JsonLine(Redactor())(context(), seconds, WALL)


@pytest.mark.parametrize(
    ("wall", "stamp"),
    [
        (WALL, "2026-11-21T01:04:02.250+00:00"),
        (WALL + 0.749, "2026-11-21T01:04:02.999+00:00"),
        (WALL + 0.75, "2026-11-21T01:04:03.000+00:00"),
        (WALL - 3600, "2026-11-21T00:04:02.250+00:00"),
    ],
)
async def test_the_time_of_day_may_go_on_or_jump_back(wall: float, stamp: str) -> None:
    line = JsonLine(Redactor())
    line(context(), 1.5, WALL)
    assert orjson.loads(line(context(), 1.5, wall))["timestamp"] == stamp


async def test_made_up_paths_do_not_fill_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_line, "MAX_SHAPES", 10)
    line = JsonLine(Redactor())
    for number in range(100):
        assert orjson.loads(line(context(path=f"/{number}"), 1.5, WALL))["path"] == f"/{number}"
        assert len(line._shapes) <= 10


async def test_those_who_ask_do_not_fill_memory_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_line, "MAX_SHAPES", 10)
    line = JsonLine(Redactor())
    for number in range(100):
        assert orjson.loads(line(context(client_ip=f"192.0.2.{number}"), 1.5, WALL))["client"] == f"192.0.2.{number}"
        assert len(line._whose) <= 10


@pytest.mark.parametrize("console", [False, True])
async def test_a_line_has_of_an_address_what_may_be_shown(*, console: bool) -> None:
    ctx = context(client_ip="203.0.113.77", organization="ip:203.0.113.77", client_request_id="hunter22")
    shown, hidden = (
        access_line.access_line(Redactor(["hunter22"], mask=mask), console=console) for mask in (False, True)
    )
    assert b"203.0.113.77" in shown(ctx, 1.5, WALL)
    line = hidden(ctx, 1.5, WALL)
    assert b"203.0.113.77" not in line
    assert line.count(b"203.0.113.0") == (1 if console else 2)
    assert b"hunter22" not in line


async def test_a_key_at_the_end_of_what_is_logged_of_a_path_is_known_for_one() -> None:
    key = "gw-" + "aB3" * 13
    for at in range(access_line.MAX_LOGGED_PATH - 30, access_line.MAX_LOGGED_PATH + 5):
        path = "/" + "x" * at + "/" + key
        assert "aB3a" not in orjson.loads(JsonLine(Redactor())(context(path=path), 1.5, WALL))["path"]


@pytest.mark.parametrize("path", ["/ 200 ok", "/x chat0  5 ms", "/\n", "/'"])
async def test_a_path_for_people_is_one_column(path: str) -> None:
    plain = console_line(Redactor(), context(path="/x"), 1.5, WALL).decode()
    line = console_line(Redactor(), context(path=path), 1.5, WALL).decode()
    shown = path if path == "/'" else repr(path)
    assert line == plain.replace("POST /x ", f"POST {shown} ")
