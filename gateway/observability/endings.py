"""How did a stream end? One word of a bounded set, from its outcome and from what the model said of its end."""

from enum import StrEnum
from typing import Final

from gateway.core.errors import (
    BadGatewayError,
    FirstTokenTimeoutError,
    RequestLifetimeError,
    ShuttingDownError,
    StreamIdleError,
)
from gateway.core.lifeline import Cut


class Ending(StrEnum):
    """What STREAM_ENDINGS counts."""

    DONE = "done"
    LENGTH = "length"
    CLIENT_LEFT = "client_left"
    BACKEND_FAILED = "backend_failed"
    REFUSED = "refused"
    FAILED = "failed"
    CUT_SLOW_CLIENT = "cut_slow_client"
    CUT_IDLE = "cut_idle"
    CUT_FIRST_TOKEN = "cut_first_token"  # noqa: S105 -- a word, no secret
    CUT_LIFETIME = "cut_lifetime"
    CUT_SHUTDOWN = "cut_shutdown"


BY_OUTCOME: Final = {
    "ok": Ending.DONE,
    Cut.CLIENT_GONE: Ending.CLIENT_LEFT,
    Cut.SLOW_CLIENT: Ending.CUT_SLOW_CLIENT,
    StreamIdleError.code: Ending.CUT_IDLE,
    FirstTokenTimeoutError.code: Ending.CUT_FIRST_TOKEN,
    RequestLifetimeError.code: Ending.CUT_LIFETIME,
    ShuttingDownError.code: Ending.CUT_SHUTDOWN,
    BadGatewayError.code: Ending.BACKEND_FAILED,
    "stream_broken": Ending.BACKEND_FAILED,
    "foreign_answer": Ending.BACKEND_FAILED,
}
BACKENDS_OWN: Final = "backend_"
"""What the outcome begins with that is a backend's own error."""


def ending_of(outcome: str, finish_reason: str | None, *, refused: bool) -> Ending:
    """The word for a stream that had begun.

    Args:
        outcome: of the request.
        finish_reason: as the model stated it.
        refused: whether it was refused behind keep-alives, which go out before a backend has it.
    """
    if refused and outcome != ShuttingDownError.code:
        return Ending.REFUSED
    if outcome.startswith(BACKENDS_OWN):
        return Ending.BACKEND_FAILED
    ending = BY_OUTCOME.get(outcome, Ending.FAILED)
    return Ending.LENGTH if ending is Ending.DONE and finish_reason == Ending.LENGTH else ending
