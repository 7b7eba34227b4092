"""May it be tried again? A failed exchange as a type that answers this question."""

import errno
from typing import Final

from gateway.core.errors import BadGatewayError, UnavailableError
from gateway.core.refusal import Refusal

STALE: Final = "stale"
"""The reason of a `NeverSent` that speaks of an old connection, not of its backend."""


class UpstreamError(BadGatewayError):
    """A backend failed to answer; the message never names it.

    Attributes:
        reason: one word for logs and metrics.
    """

    def __init__(self, message: str, reason: str, *, should_retry: bool | None = None) -> None:
        super().__init__(message, should_retry=should_retry)
        self.reason = reason


class NeverSent(UpstreamError):  # noqa: N818 -- the retry rule is written in these two words
    """The request provably did not run, so it may be sent again, here or elsewhere.

    Reasons: `refused`, `unreachable`, `connect_timeout`, `dns`, `tls`, `forbidden_address`, `closing`, `closed` (a new
    connection was closed before it took a byte) and `stale`: a kept-alive connection had been closed by its idle
    time-out, and the one that was to replace it, become free that very moment, had been too.
    """

    def __init__(self, reason: str) -> None:
        super().__init__("The model's server could not be reached.", reason)


class MayHaveRun(UpstreamError):  # noqa: N818 -- the retry rule is written in these two words
    """The backend may have taken the request: repeating it could run it twice.

    Reasons: `reset`, `closed` (before the headers), `cut` (in the body), `timeout` (the host stopped answering),
    `malformed` (not HTTP), `head_too_large`, `closing` (the gateway closed its connections).
    """

    def __init__(self, reason: str) -> None:
        super().__init__("The model's server broke off its answer.", reason, should_retry=False)


class PoolExhausted(UnavailableError):  # noqa: N818 -- named like its neighbours
    """UPSTREAM_MAX_CONNECTIONS are in use and none became free in time, or this host has none to give; nothing is sent.

    No backend is to blame.
    """

    code = "upstream_connections_exhausted"
    refusal = Refusal.CONNECTIONS
    reason = "pool_exhausted"

    def __init__(self) -> None:
        super().__init__("Every connection to the models' servers is in use; try again shortly.", retry_after=1.0)


WANTING: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL})
"""What this host has none of: descriptors, memory, ports of its own for connections to one address."""


def no_connection(error: OSError, reason: str) -> NeverSent | PoolExhausted:
    """Why no connection was made: for want of something here, or for that `reason` of the backend's."""
    return PoolExhausted() if error.errno in WANTING else NeverSent(reason)
