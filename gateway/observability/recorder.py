"""What became of this request? One log line and its metrics, exactly once, however it ended."""

from collections.abc import Callable

from gateway.core.clock import Clock
from gateway.core.context import RequestContext
from gateway.observability import families
from gateway.observability.access_line import JsonLine, console_line
from gateway.observability.families import Family
from gateway.observability.log_writer import LogWriter
from gateway.observability.metrics import Distribution, Figure, Lost, Metrics

OTHER_PATH = "other"

Answer = tuple[str, str, int, str]
"""What tells answers apart: path, group, status, outcome."""


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
        # Series by what tells them apart, each opened on first use: a look-up here costs a third of one by labels.
        self._answers: dict[Answer, tuple[Figure | Lost, Distribution | Lost]] = {}
        self._waits: dict[str, Distribution | Lost] = {}
        self._firsts: dict[str, Distribution | Lost] = {}
        self._tokens: dict[str, tuple[Figure | Lost, Figure | Lost]] = {}

    def record(self, ctx: RequestContext) -> None:
        """Count the request and write its line."""
        seconds = self._clock.monotonic() - ctx.started
        self._count(ctx, seconds)
        if self._writer is not None:
            self._writer.write(self._render(ctx, seconds, self._clock.wall()))

    def _count(self, ctx: RequestContext, seconds: float) -> None:
        group = ctx.group
        answer = (ctx.endpoint.path, group, ctx.status, ctx.outcome)
        requests, durations = self._answers.get(answer) or self._open_answers(answer)
        requests.add()
        durations.observe(seconds)
        if ctx.queue_wait is not None:
            waits = self._waits.get(group) or self._open(self._waits, families.QUEUE_WAIT, group)
            waits.observe(ctx.queue_wait)
        if ctx.first_token_at is not None:
            firsts = self._firsts.get(group) or self._open(self._firsts, families.FIRST_TOKEN, group)
            firsts.observe(ctx.first_token_at - ctx.started)
        if ctx.usage is not None:
            prompt, completion = self._tokens.get(group) or self._open_tokens(group)
            prompt.add(ctx.usage.prompt_tokens)
            completion.add(ctx.usage.completion_tokens)
        if ctx.disconnect_phase is not None:
            self._metrics.count(families.DISCONNECTS, ctx.disconnect_phase)

    def _open(self, known: dict[str, Distribution | Lost], family: Family, group: str) -> Distribution | Lost:
        series = known[group] = self._metrics.distribution(family, group)
        return series

    def _open_answers(self, answer: Answer) -> tuple[Figure | Lost, Distribution | Lost]:
        path, group, status, outcome = answer
        path = path or OTHER_PATH
        requests = self._metrics.figure(families.REQUESTS, path, group, str(status), outcome)
        series = self._answers[answer] = requests, self._metrics.distribution(families.DURATION, path, group)
        return series

    def _open_tokens(self, group: str) -> tuple[Figure | Lost, Figure | Lost]:
        prompt = self._metrics.figure(families.TOKENS, group, "prompt")
        series = self._tokens[group] = prompt, self._metrics.figure(families.TOKENS, group, "completion")
        return series
