"""Whatever ends a stream, it is one word of a bounded set, and the right one."""

import pytest

from gateway.core.errors import GatewayError
from gateway.core.lifeline import Cut
from gateway.middleware.error_boundary import FAREWELLS
from gateway.observability.endings import Ending, ending_of
from gateway.proxy.error_answer import stated_inside
from gateway.proxy.identity import ForeignAnswerError
from gateway.proxy.stream import StreamBrokenError
from gateway.proxy.unavailable import SeatsTakenError
from gateway.upstream.errors import MayHaveRun

FAILURES = {
    StreamBrokenError("It broke off."): Ending.BACKEND_FAILED,
    ForeignAnswerError("It is another one's."): Ending.BACKEND_FAILED,
    MayHaveRun("reset"): Ending.BACKEND_FAILED,
    stated_inside(b'{"error":{"message":"The engine is dead."}}'): Ending.BACKEND_FAILED,
    SeatsTakenError("The model servers are full."): Ending.REFUSED,
    GatewayError("The gateway met an unexpected condition."): Ending.FAILED,
}
CUTS = {
    Cut.CLIENT_GONE: Ending.CLIENT_LEFT,
    Cut.SLOW_CLIENT: Ending.CUT_SLOW_CLIENT,
    Cut.LIFETIME: Ending.CUT_LIFETIME,
    Cut.FIRST_TOKEN: Ending.CUT_FIRST_TOKEN,
    Cut.IDLE: Ending.CUT_IDLE,
    Cut.SHUTDOWN: Ending.CUT_SHUTDOWN,
}


@pytest.mark.parametrize(("error", "ending"), FAILURES.items(), ids=lambda one: type(one).__name__)
def test_a_failure_is_the_backends_or_ours(error: GatewayError, ending: Ending) -> None:
    assert ending_of(error.outcome, None, refused=error.refusal is not None) is ending


@pytest.mark.parametrize(("cut", "ending"), CUTS.items())
def test_each_cut_of_a_stream_has_a_word(cut: Cut, ending: Ending) -> None:
    told = FAREWELLS.get(cut)
    outcome = cut if told is None else told().outcome
    refused = told is not None and told().refusal is not None
    assert ending_of(outcome, None, refused=refused) is ending


def test_no_cut_of_a_stream_is_left_out() -> None:
    assert CUTS.keys() == set(Cut) - {Cut.BODY_STALLED}


def test_a_bound_on_tokens_is_told_of_a_success_alone() -> None:
    assert ending_of("ok", "length", refused=False) is Ending.LENGTH
    assert ending_of("ok", "tool_calls", refused=False) is Ending.DONE
    assert ending_of("client_gone", "length", refused=False) is Ending.CLIENT_LEFT


def test_what_nobody_foresaw_is_ours() -> None:
    assert ending_of("incomplete", None, refused=False) is Ending.FAILED
