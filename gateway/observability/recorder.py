"""What became of this request? One log line and its metrics, exactly once, however it ended."""

from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

from gateway.core.clock import Clock
from gateway.core.context import RequestContext
from gateway.observability import families
from gateway.observability.access_line import JsonLine, console_line
from gateway.observability.log_writer import LogWriter
from gateway.observability.metrics import Distribution, Figure, Lost, Metrics

OTHER_PATH = "other"

Key = TypeVar("Key")
Series = TypeVar("Series")


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
        self._render: Callable[[RequestContext, float, float], bytes] = console_line if console else JsonLine().__call__
        self._answers = Opened(self._open_answers)
        self._waits = Opened(partial(metrics.distribution, families.QUEUE_WAIT))
        self._firsts = Opened(partial(metrics.distribution, families.FIRST_TOKEN))
        self._tokens = Opened(self._open_tokens)

    def record(self, ctx: RequestContext) -> None:
        """Count the request and write its line."""
        seconds = self._clock.monotonic() - ctx.started
        self._count(ctx, seconds)
        if self._writer is not None:
            self._writer.write(self._render(ctx, seconds, self._clock.wall()))

    def _count(self, ctx: RequestContext, seconds: float) -> None:
        group = ctx.group
        requests, durations = self._answers[ctx.endpoint.path, group, ctx.status, ctx.outcome]
        requests.add()
        durations.observe(seconds)
        if ctx.queue_wait is not None:
            self._waits[group].observe(ctx.queue_wait)
        if ctx.first_token_at is not None:
            self._firsts[group].observe(ctx.first_token_at - ctx.started)
        if ctx.usage is not None:
            prompt, completion = self._tokens[group]
            prompt.add(ctx.usage.prompt_tokens)
            completion.add(ctx.usage.completion_tokens)
        if ctx.disconnect_phase is not None:
            self._metrics.count(families.DISCONNECTS, ctx.disconnect_phase)

    def _open_answers(self, key: tuple[str, str, int, str]) -> tuple[Figure | Lost, Distribution | Lost]:
        path, group, status, outcome = key
        path = path or OTHER_PATH
        requests = self._metrics.figure(families.REQUESTS, path, group, str(status), outcome)
        return requests, self._metrics.distribution(families.DURATION, path, group)

    def _open_tokens(self, group: str) -> tuple[Figure | Lost, Figure | Lost]:
        return self._metrics.figure(families.TOKENS, group, "prompt"), self._metrics.figure(
            families.TOKENS, group, "completion"
        )


class Opened(dict[Key, Series], Generic[Key, Series]):
    """Series by what tells them apart, each opened on first use: a look-up here costs a third of one by labels."""

    def __init__(self, opening: Callable[[Key], Series]) -> None:
        super().__init__()
        self._opening = opening

    def __missing__(self, key: Key) -> Series:
        """Open it."""
        series = self[key] = self._opening(key)
        return series
