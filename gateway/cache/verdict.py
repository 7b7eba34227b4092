"""What became of a request that others waited for? The failure that they are told, as bytes and as an exception."""

import msgspec
from msgspec import Struct

from gateway.core.errors import GatewayError
from gateway.core.refusal import Refusal


class Verdict(Struct, frozen=True, array_like=True):
    """How a leader failed.

    Attributes:
        status: of its answer.
        outcome: its word for logs and metrics.
        type: of the error that it raised; empty where a backend stated one.
        message: likewise.
        retry_after: likewise, in seconds.
        should_retry: likewise.
        content_type: of the backend's refusal.
        body: the same, as clients get it.
    """

    status: int
    outcome: str
    type: str = ""
    message: str = ""
    retry_after: float | None = None
    should_retry: bool | None = None
    content_type: bytes = b""
    body: bytes = b""

    @property
    def final(self) -> bool:
        """Whether a second try would be told the same: the request itself is at fault."""
        return self.status in FINAL


FINAL = frozenset({400, 404, 413, 415, 422})
REFUSING = frozenset({429, 503})
"""Statuses that say nothing of the request, but of a limit or of the fleet."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Verdict)


class SharedFailureError(GatewayError):
    """The identical request that this one waited for has failed, and one more after it."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.message, retry_after=verdict.retry_after, should_retry=verdict.should_retry)
        self.status = verdict.status
        self.type = verdict.type
        self.code = verdict.outcome
        if verdict.status in REFUSING:
            self.refusal = Refusal.SHARED


WORKER_DIED = Verdict(
    502,
    "bad_gateway",
    "server_error",
    "The worker that ran this request for all that are like it ended before its answer.",
    should_retry=False,
)
CUT = Verdict(
    503,
    "service_unavailable",
    "server_error",
    "The request that ran for all that are like it was ended before its answer.",
    should_retry=False,
)
"""For a leader whose time was over, or whose worker was going away."""
BROKEN = Verdict(500, "internal_error", "server_error", "The gateway met an unexpected condition.")


def verdict_of(failure: BaseException) -> Verdict:
    """What those who wait are told of the exception that ended their leader."""
    if isinstance(failure, GatewayError):
        return Verdict(
            failure.status, failure.code, failure.type, failure.message, failure.retry_after, failure.should_retry
        )
    return BROKEN if isinstance(failure, Exception) else CUT


def encoded(verdict: Verdict) -> bytes:
    """As bytes; never empty, nor what stands for another word."""
    return _encoder.encode(verdict)


def decoded(words: bytes) -> Verdict:
    """The same back."""
    return _decoder.decode(words)
