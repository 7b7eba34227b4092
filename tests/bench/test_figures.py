"""Tests of bench/figures.py: what a window amounts to."""

from typing import Any

import pytest

from bench.figures import added, failures, of_counted, of_crowd, of_window
from bench.windows import Load, Window

JSON = Load("JSON", "json", 32, 1.0)
STREAM = Load("SSE", "burst", 32, 1.0, stream=True)
PACED = Load("SSE", "paced", 63, 1.0, stream=True, delay_ms=100)
TIMES = {"p50": 1.5, "p99": 3.0}


def window(**changes: Any) -> Window:
    """A window of ten answers of 64 events each."""
    load: dict[str, Any] = {"rps": 10.0, "events_per_s": 640.0, "errors": 0, "non200": 0}
    load |= {f"{kind}_ms": TIMES for kind in ("total", "first_event", "lag")}
    made = {"load": load, "cpu_ns": 2_560_000, "instructions": 6_400_000, "answers": 10, "events": 640}
    return Window(**{**made, "calib_ms": (1.0, 1.0), **changes})


def test_json_costs_are_shared_among_the_answers() -> None:
    figures = of_window(JSON, window())
    assert figures["JSON: CPU us/request"] == 256
    assert figures["JSON: p99 ms"] == 3.0
    assert of_counted(JSON, window()) == {"JSON: k instructions/request": 640}


def test_where_answers_are_given_again_each_that_a_client_got_has_a_share() -> None:
    load = Load("again", "", 8, 1.0, alike=True)
    seen = window(answers=1, load={**window().load, "ok": 40})
    assert of_window(load, seen)["again: CPU us/request"] == pytest.approx(window().cpu_ns / 40 / 1e3)  # type: ignore[operator]  # it has one


def test_stream_costs_are_shared_among_the_events() -> None:
    figures = of_window(STREAM, window())
    assert figures["SSE: CPU us/event"] == 4
    assert figures["SSE: events/s"] == 640
    assert of_counted(STREAM, window()) == {"SSE: k instructions/event": 10}


def test_without_a_gateway_there_is_no_cost() -> None:
    assert of_window(JSON, window(cpu_ns=None))["JSON: CPU us/request"] is None
    assert of_counted(JSON, None) == {"JSON: k instructions/request": None}


def test_without_an_answer_there_is_no_cost_and_no_time() -> None:
    none = {"rps": 0.0, "total_ms": {"p50": -1.0, "p99": -1.0}}
    assert of_window(JSON, window(load=none, answers=0)) == {
        "JSON: requests/s": 0,
        "JSON: p50 ms": None,
        "JSON: p99 ms": None,
        "JSON: CPU us/request": None,
    }


def test_what_was_delivered_is_a_share_of_what_was_due() -> None:
    assert PACED.due_per_s == 640
    assert of_window(PACED, window())["SSE: delivered %"] == 100
    assert "SSE: delivered %" not in of_window(STREAM, window())


def test_a_crowd_shares_the_memory_that_it_took() -> None:
    assert of_crowd(PACED, 6.3) == {"SSE: memory KiB/stream": pytest.approx(102.4)}
    assert of_crowd(PACED, None) == {"SSE: memory KiB/stream": None}


def test_a_large_body_is_charged_with_what_it_costs_more() -> None:
    small, large = "chat body 500 B: CPU us/request", "chat body 500 KB: CPU us/request"
    assert added({small: 200.0, large: 700.0}) == {"chat body 500 KB: extra CPU ms": 0.5}
    assert added({small: None, large: 700.0}) == added({}) == {}


def test_a_failure_is_a_broken_answer_or_another_status() -> None:
    assert failures(window(load={"errors": 2, "non200": 3})) == 5
