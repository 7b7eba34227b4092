"""Has it been silent for too long? One timer per request for all of its caps, moved lazily."""

import asyncio
from typing import Self

from gateway.core.clock import Clock
from gateway.core.context import RequestContext
from gateway.core.lifeline import Cut
from gateway.proxy.settings import ProxySettings

# Read once: on CPython 3.11 every look at an enum's member costs 0.2 us.
_SLOW_CLIENT = Cut.SLOW_CLIENT
_IDLE = Cut.IDLE
_FIRST_TOKEN = Cut.FIRST_TOKEN
_LIFETIME = Cut.LIFETIME


class Watchdog:
    """Cuts a request whose time is over; a scope around everything a backend does for it.

    Progress is one assignment, not a timer: when the timer fires it looks what has happened since, and either cuts or
    sets itself to the next moment at which something could be due. While the client keeps us from reading, the idle
    cap stands still and the client's own cap counts.
    """

    __slots__ = (
        "_armed_while_writing",
        "_clock",
        "_ctx",
        "_handle",
        "_loop",
        "_settings",
        "_started",
        "_streaming",
        "_tokens",
        "_write_since",
    )

    def __init__(self, ctx: RequestContext, settings: ProxySettings, clock: Clock) -> None:
        self._ctx = ctx
        self._settings = settings
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._handle: asyncio.TimerHandle | None = None
        self._streaming = False
        self._started = 0.0
        self._tokens: float | None = None
        self._write_since: float | None = None
        self._armed_while_writing = False

    def __enter__(self) -> Self:
        self._arm(self._clock.monotonic())
        return self

    def __exit__(self, *_: object) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def expect_tokens(self) -> None:
        """From now on it is a stream: the first token's cap counts."""
        self._streaming = True
        self._started = self._clock.monotonic()
        self._rearm()

    def progress(self, now: float) -> None:
        """A token has come."""
        first = self._tokens is None
        self._tokens = now
        if first:
            self._rearm()

    def writing(self, now: float) -> None:
        """A write to the client begins."""
        self._write_since = now

    def written(self) -> None:
        """The client has room again; time spent waiting for it does not count against the backend."""
        if self._write_since is not None and self._tokens is not None:
            waited = self._clock.monotonic() - self._write_since
            self._tokens = self._tokens + waited
        self._write_since = None
        if self._armed_while_writing:
            self._rearm()

    def due(self) -> tuple[float, Cut]:
        """When the request must be cut if nothing happens, and why."""
        settings = self._settings
        end = self._ctx.started + settings.max_request_secs
        if self._write_since is not None:
            other, reason = self._write_since + settings.client_write_timeout_secs, _SLOW_CLIENT
        elif self._tokens is not None:
            other, reason = self._tokens + settings.stream_idle_timeout_secs, _IDLE
        elif self._streaming and settings.first_token_timeout_secs:
            other, reason = self._started + settings.first_token_timeout_secs, _FIRST_TOKEN
        else:
            return end, _LIFETIME
        return (other, reason) if other < end else (end, _LIFETIME)

    def _rearm(self) -> None:
        if self._handle is None:
            return  # it was cut, or has ended
        self._handle.cancel()
        self._arm(self._clock.monotonic())

    def _arm(self, now: float) -> None:
        moment, _ = self.due()
        # A write that begins later may be due before what is due now; when a write ends, what stood still counts again.
        horizon = now + self._settings.client_write_timeout_secs
        self._armed_while_writing = self._write_since is not None
        self._handle = self._loop.call_later(max(min(moment, horizon) - now, 0.0), self._fire)

    def _fire(self) -> None:
        now = self._clock.monotonic()
        moment, reason = self.due()
        # The loop's clock counts whole milliseconds and may be one early.
        if now >= moment - 0.002:
            self._handle = None
            self._ctx.lifeline.cut(reason)
        else:
            self._arm(now)
