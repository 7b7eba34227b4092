"""A line is the same whether its shape was seen before or not, and a path cannot pass for another column of it."""

import orjson
import pytest

from gateway.observability import access_line
from gateway.observability.access_line import JsonLine, console_line
from tests.core.requests import CHAT, context

pytestmark = pytest.mark.anyio

WALL = 1_795_223_042.25


async def test_a_shape_seen_before_is_written_alike() -> None:
    line = JsonLine()
    assert line(context(), 1.5, WALL) == line(context(), 1.5, WALL) == JsonLine()(context(), 1.5, WALL)


async def test_requests_of_one_shape_keep_their_own_figures() -> None:
    line = JsonLine()
    first, second = (orjson.loads(line(context(CHAT, bytes_in=size), 1.5, WALL)) for size in (1, 2))
    assert (first.pop("bytes_in"), second.pop("bytes_in")) == (1, 2)
    assert first == second


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
    line = JsonLine()
    line(context(), 1.5, WALL)
    assert orjson.loads(line(context(), 1.5, wall))["timestamp"] == stamp


async def test_made_up_paths_do_not_fill_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_line, "MAX_SHAPES", 10)
    line = JsonLine()
    for number in range(100):
        assert orjson.loads(line(context(path=f"/{number}"), 1.5, WALL))["path"] == f"/{number}"
        assert len(line._shapes) <= 10


@pytest.mark.parametrize("path", ["/ 200 ok", "/x chat0  5 ms", "/\n", "/'"])
async def test_a_path_for_people_is_one_column(path: str) -> None:
    plain = console_line(context(path="/x"), 1.5, WALL).decode()
    line = console_line(context(path=path), 1.5, WALL).decode()
    shown = path if path == "/'" else repr(path)
    assert line == plain.replace("POST /x ", f"POST {shown} ")
