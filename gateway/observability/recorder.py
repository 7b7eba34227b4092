"""What became of this request? One log line and its metrics, exactly once, however it ended."""

from datetime import UTC, datetime

import orjson

from gateway.core.clock import Clock
from gateway.core.context import Phase, RequestContext
from gateway.observability import metrics as m
from gateway.observability.log_writer import LogWriter
from gateway.observability.metrics import Metrics

OTHER_PATH = "other"
MAX_LOGGED_PATH = 256
"""Characters; a made-up path may be as long as a header."""


class Recorder:
    """Turns a finished request's context into figures and a line.

    Args:
        metrics: the process's families.
        writer: where access lines go; None writes none.
        clock: for the duration and the time of day.
        console: lines for people instead of JSON.
    """

    def __init__(self, metrics: Metrics, writer: LogWriter | None, clock: Clock, *, console: bool = False) -> None:
        self._metrics = metrics
        self._writer = writer
        self._clock = clock
        self._render = _console_line if console else _json_line

    def record(self, ctx: RequestContext) -> None:
        """Count the request and write its line."""
        seconds = self._clock.monotonic() - ctx.started
        self._count(ctx, seconds)
        if self._writer is not None:
            self._writer.write(self._render(ctx, seconds, self._clock.wall()))

    def _count(self, ctx: RequestContext, seconds: float) -> None:
        metrics, group = self._metrics, ctx.group
        path = ctx.endpoint.path or OTHER_PATH
        metrics.count(m.REQUESTS, path, group, str(ctx.status), ctx.outcome)
        metrics.observe(m.DURATION, seconds, path, group)
        if ctx.queue_wait is not None:
            metrics.observe(m.QUEUE_WAIT, ctx.queue_wait, group)
        if ctx.first_token_at is not None:
            metrics.observe(m.FIRST_TOKEN, ctx.first_token_at - ctx.started, group)
        if ctx.usage is not None:
            metrics.count(m.TOKENS, group, "prompt", amount=ctx.usage.prompt_tokens)
            metrics.count(m.TOKENS, group, "completion", amount=ctx.usage.completion_tokens)
        if ctx.disconnect_phase is not None:
            metrics.count(m.DISCONNECTS, ctx.disconnect_phase)


def access_fields(ctx: RequestContext, seconds: float) -> dict[str, object]:
    """What an access line says: milliseconds, absent figures as null, and never a key, a header or a text."""
    usage = ctx.usage
    return {
        "event": "request",
        "request_id": ctx.request_id,
        "client_request_id": ctx.client_request_id,
        "organization": ctx.organization or None,
        "client": ctx.client_ip,
        "method": ctx.method,
        "path": ctx.path[:MAX_LOGGED_PATH],
        "model": ctx.group or None,
        "backend": ctx.backend,
        "attempts": ctx.attempts,
        "status": ctx.status,
        "outcome": ctx.outcome,
        "streamed": ctx.streamed,
        "prompt_tokens": usage.prompt_tokens if usage else None,
        "completion_tokens": usage.completion_tokens if usage else None,
        "queue_ms": _ms(ctx.queue_wait),
        "ttft_ms": _ms(None if ctx.first_token_at is None else ctx.first_token_at - ctx.started),
        "duration_ms": _ms(seconds),
        "bytes_in": ctx.bytes_in,
        "bytes_out": ctx.bytes_out,
        "disconnect_phase": ctx.disconnect_phase,
    }


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)


def _json_line(ctx: RequestContext, seconds: float, wall: float) -> bytes:
    stamp = datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds")
    return orjson.dumps({"timestamp": stamp, **access_fields(ctx, seconds)}, option=orjson.OPT_APPEND_NEWLINE)


def _console_line(ctx: RequestContext, seconds: float, wall: float) -> bytes:
    stamp = datetime.fromtimestamp(wall, UTC).strftime("%H:%M:%S")
    first = "" if ctx.first_token_at is None else f"  first token {(ctx.first_token_at - ctx.started) * 1000:.0f} ms"
    tokens = "" if ctx.usage is None else f"  {ctx.usage.prompt_tokens}+{ctx.usage.completion_tokens} tokens"
    left = "" if ctx.disconnect_phase in {None, Phase.DONE} else f"  left while {ctx.disconnect_phase}"
    # repr keeps a path's control characters from drawing on the operator's terminal.
    path = ctx.path[:MAX_LOGGED_PATH]
    path = path if path.isprintable() else repr(path)
    return (
        f"{stamp} {ctx.status} {ctx.outcome:<12} {ctx.method} {path} {ctx.backend or '-'}"
        f"  {seconds * 1000:.0f} ms{first}{tokens}{left}  {ctx.client_ip} {ctx.request_id}\n"
    ).encode()
