"""How is a request's line written? As JSON for programs, or in a form for people."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Final

import orjson

from gateway.core.context import Phase, RequestContext
from gateway.observability.masking import masked, masked_organizations
from gateway.observability.one_line import spelled_out
from gateway.observability.redaction import Redactor

MAX_LOGGED_PATH: Final = 256
"""Characters; a made-up path may be as long as a header."""
MAX_READ_PATH: Final = 2 * MAX_LOGGED_PATH
"""Characters that are looked at, so that a key which the line's end would cut is known for one."""
MAX_SHAPES: Final = 1024
"""Shapes that are remembered, at a kilobyte or so; strangers make up paths, and all are forgotten when it is full."""
ROUND: Final = 1.5 * 2**52
"""`x + ROUND - ROUND` is `round(x)`, as a float: doubles of this size are 1 apart, so the sum can hold no fraction.

True below 2**51, which is 71 years in microseconds. `(seconds * 1e6 + ROUND - ROUND) / 1e3` is therefore
`round(seconds * 1e3, 3)`, milliseconds to the microsecond, in 60 ns instead of 280; `//` and `int` lie in between.
"""
ENDS_OF_STAMP: Final = tuple(f"{number:03d}+00:00" for number in range(1000))
"""What follows the second's point in a timestamp, by the millisecond."""

Who = tuple[str, str, str]
"""An organization, the beginning of a key, an address."""
Line = Callable[[RequestContext, float, float], bytes]
"""Writes the line, with its end, of a request that took so many seconds and ended at that time of day."""


def access_line(redactor: Redactor, *, console: bool = False, event: str = "request") -> Line:
    """The form of a process's lines.

    Args:
        redactor: takes out of paths and of clients' own ids what may be a key; it masks addresses if that is asked for.
        console: lines for people instead of JSON.
        event: what a line calls itself.
    """
    return partial(console_line, redactor) if console else JsonLine(redactor, event).__call__


class JsonLine:
    """An access line as one JSON object: milliseconds, absent figures as null, and never a key, a header or a text.

    What depends on a request's shape alone (method, path, model, backend, status ...) is written once for each shape
    and then inserted as it stands; so is who asked. A display of more than 15 entries would cost CPython two steps more
    for each of them. Everything that came from outside is escaped by orjson, before it is remembered too.

    Args:
        redactor: for what clients may have written a key into: the path, and their own id of the request.
        event: what the line calls itself.
    """

    def __init__(self, redactor: Redactor, event: str = "request") -> None:
        self._redactor = redactor
        self._event = event
        self._shapes: dict[tuple[object, ...], orjson.Fragment] = {}
        self._whose: dict[Who, orjson.Fragment] = {}
        self._second = 0.0
        """Whole, and a float all the same: no int of its size is as cheaply taken from one."""
        self._stamp = ""

    def __call__(self, ctx: RequestContext, seconds: float, wall: float) -> bytes:
        """See `Line`."""
        usage, waited, first, own_id = ctx.usage, ctx.queue_wait, ctx.first_token_at, ctx.client_request_id
        who = ctx.organization, ctx.principal.key_prefix, ctx.client_ip
        elapsed = wall - self._second
        if not 0.0 <= elapsed < 1.0:
            elapsed = self._turn_to(wall)
        fields = {
            "timestamp": self._stamp + ENDS_OF_STAMP[int(elapsed * 1000)],
            "event": self._event,
            "request_id": ctx.request_id,
            "client_request_id": None if own_id is None else self._redactor.word(own_id),
            "trace_id": ctx.trace_id,
            "organization": self._whose.get(who) or self._meet(who),  # and key, client
            "method": self._method_and_what_follows(ctx),  # and path, model, backend ... cache
            "prompt_tokens": usage.prompt_tokens if usage is not None else None,
            "completion_tokens": usage.completion_tokens if usage is not None else None,
            "queue_ms": None if waited is None else (waited * 1e6 + ROUND - ROUND) / 1e3,
            "ttft_ms": None if first is None else ((first - ctx.started) * 1e6 + ROUND - ROUND) / 1e3,
            "duration_ms": (seconds * 1e6 + ROUND - ROUND) / 1e3,
            "bytes_in": ctx.bytes_in,
            "bytes_out": ctx.bytes_out,
            "disconnect_phase": ctx.disconnect_phase,
        }
        # A sum is as long as it is; what orjson gives keeps the 8 KiB in which it was made, in all lines that wait.
        return orjson.dumps(fields) + b"\n"

    def _meet(self, who: Who) -> orjson.Fragment:
        """`"org:acme","key":"gw-ab12cd34","client":"203.0.113.7"`, as `written_shape` has it."""
        if len(self._whose) >= MAX_SHAPES:
            self._whose.clear()
        organization, key, client = who
        if self._redactor.masks:
            organization, client = masked_organizations(organization), masked(client)
        followers = orjson.dumps({"key": key or None, "client": client})[1:-1]
        written = orjson.dumps(organization or None) + b"," + followers
        met = self._whose[who] = orjson.Fragment(spelled_out(written))
        return met

    def _turn_to(self, wall: float) -> float:
        """Begin another second; how much of it has passed."""
        self._second = wall // 1
        self._stamp = datetime.fromtimestamp(self._second, UTC).strftime("%Y-%m-%dT%H:%M:%S.")
        return wall - self._second

    def _method_and_what_follows(self, ctx: RequestContext) -> orjson.Fragment:
        path = ctx.path[:MAX_READ_PATH]
        shape = ctx.method, path, ctx.group, ctx.backend, ctx.attempts, ctx.status, ctx.outcome, ctx.streamed, ctx.cache
        fragment = self._shapes.get(shape)
        if fragment is None:
            if len(self._shapes) >= MAX_SHAPES:
                self._shapes.clear()
            fragment = self._shapes[shape] = written_shape(ctx, shown_path(path, self._redactor))
        return fragment


def shown_path(path: str, redactor: Redactor) -> str:
    """The path as it is logged."""
    return redactor.text(path)[:MAX_LOGGED_PATH]


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
        "cache": ctx.cache,
    }
    without_braces = spelled_out(orjson.dumps(followers)[1:-1])
    return orjson.Fragment(orjson.dumps(ctx.method) + b"," + without_braces)


def console_line(redactor: Redactor, ctx: RequestContext, seconds: float, wall: float) -> bytes:
    """The same for people, as far as they want to know it."""
    stamp = datetime.fromtimestamp(wall, UTC).strftime("%H:%M:%S")
    first = "" if ctx.first_token_at is None else f"  first token {(ctx.first_token_at - ctx.started) * 1000:.0f} ms"
    tokens = "" if ctx.usage is None else f"  {ctx.usage.prompt_tokens}+{ctx.usage.completion_tokens} tokens"
    left = "" if ctx.disconnect_phase in {None, Phase.DONE} else f"  left while {ctx.disconnect_phase}"
    # repr keeps a path's control characters from drawing on the operator's terminal, and its blanks from being columns.
    path = shown_path(ctx.path[:MAX_READ_PATH], redactor)
    path = path if path.isprintable() and " " not in path else repr(path)
    client = masked(ctx.client_ip) if redactor.masks else ctx.client_ip
    return (
        f"{stamp} {ctx.status} {ctx.outcome:<12} {ctx.method} {path} {ctx.backend or '-'}"
        f"  {seconds * 1000:.0f} ms{first}{tokens}{left}  {client} {ctx.request_id}\n"
    ).encode()
