"""What counts against a backend stands in one table, and every row of it is meant."""

import asyncio

import pytest

from gateway.core.errors import BadGatewayError, GatewayError
from gateway.core.lifeline import Cut
from gateway.proxy.error_answer import StatedError
from gateway.proxy.identity import ForeignAnswerError
from gateway.proxy.signals import BY_CUT, Signal, of_failure, of_status
from gateway.proxy.stream import StreamBrokenError
from gateway.upstream.errors import MayHaveRun, NeverSent, PoolExhausted


def stated(status: int) -> StatedError:
    return StatedError(status, "t", "c", "m", None)


@pytest.mark.parametrize(
    ("statuses", "signal"),
    [
        ([200], Signal.SUCCESS),
        ([400, 404, 405, 413, 422, 499], Signal.NEUTRAL),
        ([401, 403], Signal.FAILURE),
        ([429, 503], Signal.BACK_PRESSURE),
        ([500, 501, 502, 504, 599], Signal.FAILURE),
        ([201, 204, 301, 304], Signal.FAILURE),
    ],
)
def test_statuses(statuses: list[int], signal: Signal) -> None:
    assert {of_status(status) for status in statuses} == {signal}


@pytest.mark.parametrize(
    "reason",
    ["refused", "unreachable", "connect_timeout", "dns", "tls", "forbidden_address", "closed"],
)
def test_a_connection_that_fails_is_a_failure(reason: str) -> None:
    assert of_failure(NeverSent(reason), None, Signal.SUCCESS) is Signal.FAILURE


@pytest.mark.parametrize("reason", ["reset", "closed", "cut", "timeout", "malformed", "head_too_large"])
def test_an_exchange_that_breaks_off_is_a_failure_whatever_its_head_said(reason: str) -> None:
    assert of_failure(MayHaveRun(reason), None, Signal.SUCCESS) is Signal.FAILURE
    assert of_failure(MayHaveRun(reason), None, Signal.NEUTRAL) is Signal.FAILURE


@pytest.mark.parametrize("failure", [NeverSent("stale"), NeverSent("closing"), MayHaveRun("closing"), PoolExhausted()])
def test_what_we_did_ourselves_is_neutral(failure: GatewayError) -> None:
    assert of_failure(failure, None, Signal.SUCCESS) is Signal.NEUTRAL


@pytest.mark.parametrize(
    "failure", [BadGatewayError("html"), StreamBrokenError("no end"), ForeignAnswerError("another's"), stated(500)]
)
def test_an_answer_that_is_none_is_a_failure(failure: GatewayError) -> None:
    assert of_failure(failure, None, Signal.SUCCESS) is Signal.FAILURE


@pytest.mark.parametrize(
    ("status", "signal"), [(400, Signal.NEUTRAL), (502, Signal.FAILURE), (503, Signal.BACK_PRESSURE)]
)
def test_an_error_inside_of_a_200_counts_by_its_own_status(status: int, signal: Signal) -> None:
    assert of_failure(stated(status), None, Signal.SUCCESS) is signal


def test_every_reason_of_a_cut_has_a_row() -> None:
    assert set(BY_CUT) == set(Cut)


@pytest.mark.parametrize("cut", [*Cut, None])
def test_a_cut_is_a_failure_only_where_the_backend_was_silent(cut: Cut | None) -> None:
    silent = cut in {Cut.IDLE, Cut.FIRST_TOKEN}
    expected = Signal.FAILURE if silent else Signal.NEUTRAL
    assert of_failure(asyncio.CancelledError(), cut, Signal.SUCCESS) is expected


@pytest.mark.parametrize("failure", [ValueError("ours"), TimeoutError(), KeyboardInterrupt()])
def test_a_fault_of_our_own_is_neutral(failure: BaseException) -> None:
    assert of_failure(failure, None, Signal.SUCCESS) is Signal.NEUTRAL


def test_a_word_that_was_spoken_stays_when_the_client_leaves_in_the_middle_of_it() -> None:
    assert of_failure(asyncio.CancelledError(), Cut.CLIENT_GONE, Signal.FAILURE) is Signal.FAILURE
    assert of_failure(BadGatewayError("no reason"), None, Signal.NEUTRAL) is Signal.NEUTRAL
