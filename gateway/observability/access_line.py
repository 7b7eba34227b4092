"""How is a request's line written? As JSON for programs, or in a form for people."""

from datetime import UTC, datetime
from typing import Final

import orjson

from gateway.core.context import Phase, RequestContext

MAX_LOGGED_PATH: Final = 256
"""Characters; a made-up path may be as long as a header."""
MAX_SHAPES: Final = 1024
"""Shapes that are remembered, at a kilobyte or so; strangers make up paths, and all are forgotten when it is full."""
ROUND: Final = 1.5 * 2**52
"""`x + ROUND - ROUND` is `round(x)`, as a float: doubles of this size are 1 apart, so the sum can hold no fraction.

True below 2**51, which is 71 years in microseconds. `(seconds * 1e6 + ROUND - ROUND) / 1e3` is therefore
`round(seconds * 1e3, 3)`, milliseconds to the microsecond, in 60 ns instead of 280; `//` and `int` lie in between.
"""
ENDS_OF_STAMP: Final = tuple(f"{number:03d}+00:00" for number in range(1000))
"""What follows the second's point in a timestamp, by the millisecond."""


class JsonLine:
    """An access line as one JSON object: milliseconds, absent figures as null, and never a key, a header or a text.

    What depends on a request's shape alone (method, path, model, backend, status ...) is written once for each shape
    and then inserted as it stands. Everything that came from outside is escaped by orjson, before it is remembered too.
    """

    def __init__(self) -> None:
        self._shapes: dict[tuple[object, ...], orjson.Fragment] = {}
        self._second = 0.0
        """Whole, and a float all the same: no int of its size is as cheaply taken from one."""
        self._stamp = ""

    def __call__(self, ctx: RequestContext, seconds: float, wall: float) -> bytes:
        """The line of a request that took that long and ended at that time of day; its newline included."""
        usage, waited, first = ctx.usage, ctx.queue_wait, ctx.first_token_at
        elapsed = wall - self._second
        if not 0.0 <= elapsed < 1.0:
            elapsed = self._turn_to(wall)
        fields = {
            "timestamp": self._stamp + ENDS_OF_STAMP[int(elapsed * 1000)],
            "event": "request",
            "request_id": ctx.request_id,
            "client_request_id": ctx.client_request_id,
            "organization": ctx.organization or None,
            "client": ctx.client_ip,
            "method": self._method_and_what_follows(ctx),  # and path, model, backend ... streamed
            "prompt_tokens": usage.prompt_tokens if usage is not None else None,
            "completion_tokens": usage.completion_tokens if usage is not None else None,
            "queue_ms": None if waited is None else (waited * 1e6 + ROUND - ROUND) / 1e3,
            "ttft_ms": None if first is None else ((first - ctx.started) * 1e6 + ROUND - ROUND) / 1e3,
            "duration_ms": (seconds * 1e6 + ROUND - ROUND) / 1e3,
            "bytes_in": ctx.bytes_in,
            "bytes_out": ctx.bytes_out,
            "disconnect_phase": ctx.disconnect_phase,
        }
        return orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)

    def _turn_to(self, wall: float) -> float:
        """Begin another second; how much of it has passed."""
        self._second = wall // 1
        self._stamp = datetime.fromtimestamp(self._second, UTC).strftime("%Y-%m-%dT%H:%M:%S.")
        return wall - self._second

    def _method_and_what_follows(self, ctx: RequestContext) -> orjson.Fragment:
        path = ctx.path[:MAX_LOGGED_PATH]
        shape = (ctx.method, path, ctx.group, ctx.backend, ctx.attempts, ctx.status, ctx.outcome, ctx.streamed)
        fragment = self._shapes.get(shape)
        if fragment is None:
            if len(self._shapes) >= MAX_SHAPES:
                self._shapes.clear()
            fragment = self._shapes[shape] = written_shape(ctx, path)
        return fragment


def written_shape(ctx: RequestContext, path: str) -> orjson.Fragment:
    """`"POST","path":"/v1/models","model":null ...`: the value of the line's `method`, and further keys with theirs.

    orjson inserts a fragment as it stands, so that one value may bring its neighbours along.
    """
    followers = {
        "path": path,
        "model": ctx.group or None,
        "backend": ctx.backend,
        "attempts": ctx.attempts,
        "status": ctx.status,
        "outcome": ctx.outcome,
        "streamed": ctx.streamed,
    }
    without_braces = orjson.dumps(followers)[1:-1]
    return orjson.Fragment(orjson.dumps(ctx.method) + b"," + without_braces)


def console_line(ctx: RequestContext, seconds: float, wall: float) -> bytes:
    """The same for people, as far as they want to know it."""
    stamp = datetime.fromtimestamp(wall, UTC).strftime("%H:%M:%S")
    first = "" if ctx.first_token_at is None else f"  first token {(ctx.first_token_at - ctx.started) * 1000:.0f} ms"
    tokens = "" if ctx.usage is None else f"  {ctx.usage.prompt_tokens}+{ctx.usage.completion_tokens} tokens"
    left = "" if ctx.disconnect_phase in {None, Phase.DONE} else f"  left while {ctx.disconnect_phase}"
    # repr keeps a path's control characters from drawing on the operator's terminal, and its blanks from being columns.
    path = ctx.path[:MAX_LOGGED_PATH]
    path = path if path.isprintable() and " " not in path else repr(path)
    return (
        f"{stamp} {ctx.status} {ctx.outcome:<12} {ctx.method} {path} {ctx.backend or '-'}"
        f"  {seconds * 1000:.0f} ms{first}{tokens}{left}  {ctx.client_ip} {ctx.request_id}\n"
    ).encode()
