"""What does the end of a request say of its backend? One table: failures count, back-pressure and our own do not."""

import asyncio
from enum import Enum
from http import HTTPStatus
from typing import Final

from gateway.core.errors import BadGatewayError
from gateway.core.lifeline import Cut
from gateway.proxy.error_answer import StatedError
from gateway.upstream.errors import UpstreamError


class Signal(Enum):
    """What one attempt tells of its backend."""

    SUCCESS = "success"
    """It answered, to the end: failures in a row begin anew."""
    FAILURE = "failure"
    """It did not do what it should: so many in a row open its breaker."""
    BACK_PRESSURE = "back_pressure"
    """It is full: others are asked first for a while, and nothing else follows."""
    NEUTRAL = "neutral"
    """The client, the request or we were at fault, or nobody: nothing is known of the backend."""
    DRAINING = "draining"
    """It takes nothing more: its breaker opens at once."""


BY_STATUS: Final[dict[int, Signal]] = {
    HTTPStatus.OK: Signal.SUCCESS,  # so far: its body may still state an error, or break off
    HTTPStatus.UNAUTHORIZED: Signal.FAILURE,  # it refuses the gateway's key, not the client's: the request is lost
    HTTPStatus.FORBIDDEN: Signal.FAILURE,
    HTTPStatus.TOO_MANY_REQUESTS: Signal.BACK_PRESSURE,
    HTTPStatus.SERVICE_UNAVAILABLE: Signal.BACK_PRESSURE,
}
"""Statuses with a meaning of their own; a 500 that says that the server drains is `DRAINING`."""
BY_CLASS: Final = {2: Signal.FAILURE, 3: Signal.FAILURE, 4: Signal.NEUTRAL, 5: Signal.FAILURE}
"""All other statuses by their first digit; no answer of a model has one of 201 to 399."""
BY_REASON: Final = {"closing": Signal.NEUTRAL, "stale": Signal.NEUTRAL}
"""Exchanges without an answer, by `UpstreamError.reason`: we closed the connection, or it had rested for too long.

All other reasons are failures: refused, unreachable, time-outs, names, TLS, resets, cut bodies, what is not HTTP.
"""
BY_CUT: Final = {
    Cut.CLIENT_GONE: Signal.NEUTRAL,
    Cut.SLOW_CLIENT: Signal.NEUTRAL,
    Cut.BODY_STALLED: Signal.NEUTRAL,
    Cut.LIFETIME: Signal.NEUTRAL,  # a long answer is no failure
    Cut.FIRST_TOKEN: Signal.FAILURE,
    Cut.IDLE: Signal.FAILURE,
    Cut.SHUTDOWN: Signal.NEUTRAL,
}
"""Requests that were ended from outside."""


def of_status(status: int) -> Signal:
    """What the head of an answer says."""
    return BY_STATUS.get(status) or BY_CLASS[status // 100]


def of_failure(failure: BaseException, cut: Cut | None, so_far: Signal) -> Signal:
    """What a failure says.

    Args:
        failure: what ended the attempt.
        cut: why the request was cut, if it was.
        so_far: what the answer's head said; a word that was spoken stays, whatever became of the rest.
    """
    if isinstance(failure, UpstreamError):
        return BY_REASON.get(failure.reason, Signal.FAILURE)
    if so_far is not Signal.SUCCESS:
        return so_far
    if isinstance(failure, asyncio.CancelledError):
        return BY_CUT[cut] if cut is not None else Signal.NEUTRAL
    if isinstance(failure, StatedError):  # an error inside of a 200: the engine's, or one that the request earned
        return of_status(failure.status)
    # HTML, an aborted generation, a stream without its end, another request's answer; all else is our own doing, such
    # as a full pool of connections.
    return Signal.FAILURE if isinstance(failure, BadGatewayError) else Signal.NEUTRAL
