"""Has it been silent for too long? One timer of the worker looks at all its running requests, again and again."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import Struct

from gateway.core.clock import Clock
from gateway.core.context import RequestContext
from gateway.core.lifeline import Cut
from gateway.core.looks import Looks
from gateway.core.structs import stored_plainly

if TYPE_CHECKING:
    from gateway.proxy.settings import ProxySettings

ROUND_SECS = 1.0
"""Between two looks at a request. Caps are minutes; a timer of its own would cost each request 14,000 instructions."""
ROUNDS_PER_CAP = 20
"""Rounds within the smallest cap, where that is small: no cut comes later than a twentieth of it."""

_SLOW_CLIENT = Cut.SLOW_CLIENT
_IDLE = Cut.IDLE
_FIRST_TOKEN = Cut.FIRST_TOKEN
_LIFETIME = Cut.LIFETIME


@stored_plainly
class Watchdog(Struct, eq=False):  # made per request: see core/structs.py
    """What happened last in one request, in seconds of the monotonic clock.

    While the client keeps us from reading, the idle cap stands still and the client's own cap counts.

    Attributes:
        ctx: the request.
        streaming_since: when the first token's cap began to count; None for whole answers.
        token_at: when the last token came.
        writing_since: when the write began that the client has not taken yet, or when it last took some of it.
    """

    ctx: RequestContext
    _clock: Clock
    streaming_since: float | None = None
    token_at: float | None = None
    writing_since: float | None = None
    _looked_since: float | None = None
    """`writing_since`, when it was last looked how far the write had come."""
    _untaken: int = 0

    def expect_tokens(self) -> None:
        """From now on it is a stream: the first token's cap counts."""
        self.streaming_since = self._clock.monotonic()

    def progress(self, now: float) -> None:
        """A token has come."""
        self.token_at = now

    def writing(self, now: float) -> None:
        """A write to the client begins."""
        self.writing_since = now

    def written(self) -> None:
        """The client has room again; time spent waiting for it does not count against the backend."""
        if self.token_at is not None and self.writing_since is not None:
            self.token_at += self._clock.monotonic() - self.writing_since
        self.writing_since = None

    def look(self, now: float) -> None:
        """See whether the client has taken some of the write that it was last seen with: it is slow, not silent."""
        connection = self.ctx.connection
        if connection is None:
            return
        untaken = connection.untaken()
        if self.writing_since == self._looked_since and untaken < self._untaken:
            self.written()
            self.writing(now)
        self._looked_since = self.writing_since
        self._untaken = untaken


class Rounds:
    """Cuts the requests whose time is over, at most one round late and never early.

    Args:
        settings: the caps.
        client_write_secs: how long a client may take nothing.
        clock: for all durations.
        alive: told, round by round, when a stream of a backend, by its name, last had a token.
    """

    def __init__(
        self, settings: "ProxySettings", client_write_secs: float, clock: Clock, alive: Callable[[str, float], None]
    ) -> None:
        self._settings = settings
        self._client_write_secs = client_write_secs
        self._clock = clock
        self._alive = alive
        self._watched: set[Watchdog] = set()
        caps = (settings.max_request_secs, settings.stream_idle_timeout_secs, client_write_secs)
        smallest = min(caps + ((first,) if (first := settings.first_token_timeout_secs) else ()))
        self.every = min(ROUND_SECS, smallest / ROUNDS_PER_CAP)
        """Seconds between two rounds."""
        self._looks = Looks(self.every, self._walk)

    def watch(self, ctx: RequestContext) -> Watchdog:
        """Look at the request from now on; `forget` it in a `finally`."""
        dog = Watchdog(ctx, self._clock)
        self._watched.add(dog)
        self._looks.begin()
        return dog

    def forget(self, dog: Watchdog) -> None:
        """The request is over."""
        self._watched.discard(dog)

    def _walk(self) -> bool:
        now = self._clock.monotonic()
        newest: dict[str, float] = {}
        for dog in tuple(self._watched):
            if dog.token_at is not None and dog.ctx.backend is not None:
                newest[dog.ctx.backend] = max(dog.token_at, newest.get(dog.ctx.backend, 0.0))
            if dog.writing_since is not None:
                dog.look(now)
            due, reason = self._due(dog)
            if now >= due:
                self._watched.discard(dog)
                dog.ctx.lifeline.cut(reason)
        for backend, at in newest.items():
            self._alive(backend, at)
        return bool(self._watched)

    def _due(self, dog: Watchdog) -> tuple[float, Cut]:
        """When the request must be cut if nothing happens, and why."""
        settings = self._settings
        end = dog.ctx.started + settings.max_request_secs
        if dog.writing_since is not None:
            other, reason = dog.writing_since + self._client_write_secs, _SLOW_CLIENT
        elif dog.token_at is not None:
            other, reason = dog.token_at + settings.stream_idle_timeout_secs, _IDLE
        elif dog.streaming_since is not None and settings.first_token_timeout_secs:
            other, reason = dog.streaming_since + settings.first_token_timeout_secs, _FIRST_TOKEN
        else:
            return end, _LIFETIME
        return (other, reason) if other < end else (end, _LIFETIME)
