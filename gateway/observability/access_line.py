"""How is a request's line written? As JSON for programs, or in a form for people."""

from datetime import UTC, datetime
from typing import Final

import orjson

from gateway.core.context import Phase, RequestContext

MAX_LOGGED_PATH: Final = 256
"""Characters; a made-up path may be as long as a header."""
MAX_SHAPES: Final = 1024
"""Shapes that are remembered, at a kilobyte or so; strangers make up paths, and all are forgotten when it is full."""
WHOLE: Final = 1.5 * 2**52
"""Added and taken away again, it leaves the nearest whole number: at this size a double has no fraction."""
MILLISECONDS: Final = tuple(f"{number:03d}+00:00" for number in range(1000))


class JsonLine:
    """An access line as one JSON object: milliseconds, absent figures as null, and never a key, a header or a text.

    What depends on a request's shape alone (path, model, backend, status ...) is written once for each shape and
    then inserted as it stands. Everything that came from outside is escaped by orjson, before it is remembered too.
    """

    def __init__(self) -> None:
        self._shapes: dict[tuple[object, ...], orjson.Fragment] = {}
        self._second = 0
        self._stamp = ""

    def __call__(self, ctx: RequestContext, seconds: float, wall: float) -> bytes:
        """The line of a request that took that long and ended at that time of day; its newline included."""
        usage, waited, first = ctx.usage, ctx.queue_wait, ctx.first_token_at
        elapsed = wall - self._second
        if not 0.0 <= elapsed < 1.0:
            elapsed = self._turn_to(wall)
        fields = {
            "timestamp": self._stamp + MILLISECONDS[int(elapsed * 1000)],
            "event": "request",
            "request_id": ctx.request_id,
            "client_request_id": ctx.client_request_id,
            "organization": ctx.organization or None,
            "client": ctx.client_ip,
            FIRST_OF_SHAPE: self._shape(ctx),
            "prompt_tokens": usage.prompt_tokens if usage is not None else None,
            "completion_tokens": usage.completion_tokens if usage is not None else None,
            "queue_ms": None if waited is None else (waited * 1e6 + WHOLE - WHOLE) / 1e3,
            "ttft_ms": None if first is None else ((first - ctx.started) * 1e6 + WHOLE - WHOLE) / 1e3,
            "duration_ms": (seconds * 1e6 + WHOLE - WHOLE) / 1e3,
            "bytes_in": ctx.bytes_in,
            "bytes_out": ctx.bytes_out,
            "disconnect_phase": ctx.disconnect_phase,
        }
        return orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)

    def _turn_to(self, wall: float) -> float:
        """Begin another second; how much of it has passed."""
        self._second = int(wall)
        self._stamp = datetime.fromtimestamp(self._second, UTC).strftime("%Y-%m-%dT%H:%M:%S.")
        return wall - self._second

    def _shape(self, ctx: RequestContext) -> orjson.Fragment:
        path = ctx.path[:MAX_LOGGED_PATH]
        shape = (ctx.method, path, ctx.group, ctx.backend, ctx.attempts, ctx.status, ctx.outcome, ctx.streamed)
        fragment = self._shapes.get(shape)
        if fragment is None:
            if len(self._shapes) >= MAX_SHAPES:
                self._shapes.clear()
            fragment = self._shapes[shape] = written_shape(ctx, path)
        return fragment


FIRST_OF_SHAPE: Final = "method"


def written_shape(ctx: RequestContext, path: str) -> orjson.Fragment:
    """The shape's fields as they stand in a line, from the value of the first: its key is the line's."""
    fields = {
        FIRST_OF_SHAPE: ctx.method,
        "path": path,
        "model": ctx.group or None,
        "backend": ctx.backend,
        "attempts": ctx.attempts,
        "status": ctx.status,
        "outcome": ctx.outcome,
        "streamed": ctx.streamed,
    }
    return orjson.Fragment(orjson.dumps(fields)[len(f'{{"{FIRST_OF_SHAPE}":') : -1])


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
