"""What became of this request? One log line and its metrics, exactly once, however it ended."""

from gateway.core.clock import Clock
from gateway.core.context import RequestContext
from gateway.core.refusal import Refusal
from gateway.observability.access_line import Line
from gateway.observability.endings import ending_of
from gateway.observability.families.family import Family
from gateway.observability.families.limits import REFUSALS
from gateway.observability.families.requests import (
    DISCONNECTS,
    DURATION,
    FIRST_TOKEN,
    OVERHEAD,
    QUEUE_WAIT,
    REQUESTS,
    TOKENS,
)
from gateway.observability.families.streams import OUTPUT_RATE, STREAM_ENDINGS
from gateway.observability.log_writer import LogWriter
from gateway.observability.metrics import Distribution, Figure, Lost, Metrics

OTHER_PATH = "other"

Answer = tuple[str, str, int, str]
"""What tells answers apart: path, group, status, outcome."""
Ended = tuple[str, str, str | None]
"""What tells the ends of streams apart: group, outcome, and why the model says that it ended."""


class Recorder:
    """Turns a finished request's context into figures and a line.

    Args:
        metrics: the process's families.
        writer: where access lines go; None writes none.
        clock: for the duration and the time of day.
        line: writes one.
    """

    def __init__(self, metrics: Metrics, writer: LogWriter | None, clock: Clock, line: Line) -> None:
        self._metrics = metrics
        self._writer = writer
        self._clock = clock
        self._line = line
        # Series by what tells them apart, each opened on first use: a look-up here costs a third of one by labels.
        self._answers: dict[Answer, tuple[Figure | Lost, Distribution | Lost]] = {}
        self._waits: dict[str, Distribution | Lost] = {}
        self._firsts: dict[str, Distribution | Lost] = {}
        self._tokens: dict[str, tuple[Figure | Lost, Figure | Lost]] = {}
        self._overheads: dict[str, Distribution | Lost] = {}
        self._rates: dict[str, Distribution | Lost] = {}
        self._endings: dict[Ended, Figure | Lost] = {}
        for reason in Refusal:
            metrics.figure(REFUSALS, reason)  # a count that is to be watched begins at 0

    def record(self, ctx: RequestContext) -> None:
        """Count the request and write its line."""
        seconds = self._clock.monotonic() - ctx.started
        self._count(ctx, seconds)
        if self._writer is not None:
            self._writer.write(self._line(ctx, seconds, self._clock.wall()))

    def _count(self, ctx: RequestContext, seconds: float) -> None:
        group = ctx.group
        answer = (ctx.endpoint.path, group, ctx.status, ctx.outcome)
        requests, durations = self._answers.get(answer) or self._open_answers(answer)
        requests.add()
        durations.observe(seconds)
        waited, sent_at, usage = ctx.queue_wait, ctx.sent_at, ctx.usage
        if waited is not None:
            waits = self._waits.get(group) or self._open(self._waits, QUEUE_WAIT, group)
            waits.observe(waited)
        if sent_at is not None:
            path = ctx.endpoint.path
            overheads = self._overheads.get(path) or self._open(self._overheads, OVERHEAD, path)
            overheads.observe(sent_at - ctx.started - (waited or 0.0))
        if usage is not None:
            prompt, completion = self._tokens.get(group) or self._open_tokens(group)
            prompt.add(usage.prompt_tokens)
            completion.add(usage.completion_tokens)
        if ctx.streamed:
            self._count_stream(ctx, group, seconds)
        if ctx.refusal is not None:
            self._metrics.count(REFUSALS, ctx.refusal)
        if ctx.disconnect_phase is not None:
            self._metrics.count(DISCONNECTS, ctx.disconnect_phase)

    def _count_stream(self, ctx: RequestContext, group: str, seconds: float) -> None:
        if ctx.event_stream:
            ended = (group, ctx.outcome, ctx.finish_reason)
            endings = self._endings.get(ended) or self._open_endings(ctx, ended)
            endings.add()
        if ctx.first_token_at is None:
            return
        first = ctx.first_token_at - ctx.started
        firsts = self._firsts.get(group) or self._open(self._firsts, FIRST_TOKEN, group)
        firsts.observe(first)
        usage = ctx.usage
        if usage is not None and usage.completion_tokens > 1 and seconds > first:
            rates = self._rates.get(group) or self._open(self._rates, OUTPUT_RATE, group)
            rates.observe((usage.completion_tokens - 1) / (seconds - first))

    def _open(self, known: dict[str, Distribution | Lost], family: Family, label: str) -> Distribution | Lost:
        series = known[label] = self._metrics.distribution(family, label)
        return series

    def _open_endings(self, ctx: RequestContext, ended: Ended) -> Figure | Lost:
        ending = ending_of(ctx.outcome, ctx.finish_reason, refused=ctx.refusal is not None)
        series = self._endings[ended] = self._metrics.figure(STREAM_ENDINGS, ctx.group, ending)
        return series

    def _open_answers(self, answer: Answer) -> tuple[Figure | Lost, Distribution | Lost]:
        path, group, status, outcome = answer
        path = path or OTHER_PATH
        requests = self._metrics.figure(REQUESTS, path, group, str(status), outcome)
        series = self._answers[answer] = requests, self._metrics.distribution(DURATION, path, group)
        return series

    def _open_tokens(self, group: str) -> tuple[Figure | Lost, Figure | Lost]:
        prompt = self._metrics.figure(TOKENS, group, "prompt")
        series = self._tokens[group] = prompt, self._metrics.figure(TOKENS, group, "completion")
        return series
