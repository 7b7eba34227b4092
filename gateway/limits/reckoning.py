"""What has a backend done for a request of which it stated nothing? Reckoned by what it stated of others like it."""

from collections.abc import Callable
from typing import NamedTuple

from gateway.core.context import RequestContext
from gateway.core.lifeline import Cut
from gateway.core.usage import Usage

BYTES_PER_TOKEN = 4
"""Of a body as it comes, JSON included: English text has some four, and what is estimated is settled later."""

MOST_KINDS = 256
"""Kinds that are remembered: above what a fleet has, though models come and go at run time. The oldest is forgotten."""

FIRST_LESSONS = 12
"""Answers of a worker that are learned from before anybody has left."""
LESSONS = 16
"""Answers that are learned from for each request that has to be reckoned: where nobody leaves, nothing is learned."""
MOST_LESSONS = 64
"""Answers that are learned from when nobody leaves any more. Each costs 220 bytecodes."""

FADING = 0.98
"""What a pair still counts when the next one comes: the newest fifty decide."""

FLAT = 1e-3
"""Of the mean square: where values spread less, a slope would be made of noise."""

_CLIENT_GONE = Cut.CLIENT_GONE


class Line:
    """y = offset + slope * x through the newest pairs, by least squares; its slope is never below 0.

    Five numbers, whatever it has seen. A mean of y / x would not do: what stands around a prompt, and the time until
    the first token, are there however short the rest is.
    """

    __slots__ = ("_n", "_x", "_xx", "_xy", "_y")

    def __init__(self) -> None:
        self._n = self._x = self._y = self._xx = self._xy = 0.0

    def add(self, x: float, y: float) -> None:
        """One more pair, of numbers not below 0."""
        self._n = self._n * FADING + 1.0
        self._x = self._x * FADING + x
        self._y = self._y * FADING + y
        self._xx = self._xx * FADING + x * x
        self._xy = self._xy * FADING + x * y

    def fit(self) -> tuple[float, float] | None:
        """Offset and slope; None while there are no pairs to speak of."""
        if self._x <= 0.0:
            return None
        spread = self._n * self._xx - self._x * self._x
        if spread > FLAT * self._n * self._xx:
            slope = (self._n * self._xy - self._x * self._y) / spread
            if slope > 0.0:
                return (self._y - slope * self._x) / self._n, slope
        return 0.0, self._y / self._x


class Kind(NamedTuple):
    """Requests that cost alike. Streams are apart: what is asked for on their behalf makes their bodies longer."""

    group: str
    path: str
    streamed: bool


class Known(NamedTuple):
    """What is known of a kind: tokens of the prompt by bytes of the body, and seconds by tokens of a choice."""

    prompts: Line
    paces: Line


class Reckoner:
    """Learns what a body's bytes are in tokens of the prompt, and how long an answer of so many tokens takes.

    Each worker learns for itself, of all organizations together. So one client's odd bodies and slow uploads move what
    is reckoned of another's aborts, but never out of bounds that each request brings along: see `reckon`.

    Args:
        per_choice: the most tokens that a choice is reckoned to have where its request states no bound.
        now: the monotonic clock.

    Attributes:
        lessons: how many answers are still to be learned from; `learn` is called only while there are any.
    """

    def __init__(self, per_choice: int, now: Callable[[], float]) -> None:
        self.lessons = FIRST_LESSONS
        self._per_choice = per_choice
        self._now = now
        self._known: dict[Kind, Known] = {}

    def learn(self, ctx: RequestContext, usage: Usage) -> None:
        """A backend has stated what it has done; of an answer that has just ended, and came at the first attempt."""
        if not ctx.answer_complete or ctx.attempts > 1:
            return
        self.lessons -= 1
        kind = _kind(ctx)
        known = self._known.get(kind)
        if known is None:
            if len(self._known) == MOST_KINDS:
                del self._known[next(iter(self._known))]
            known = self._known[kind] = Known(Line(), Line())
        known.prompts.add(len(ctx.plan.body), usage.prompt_tokens)
        if usage.completion_tokens:
            known.paces.add(usage.completion_tokens / _choices(ctx), self._secs(ctx))

    def reckon(self, ctx: RequestContext) -> Usage:
        """What it may have done, where it was ended without a word.

        The prompt lies between a quarter and the fourfold of its estimate, so between a token for sixteen bytes and
        one a byte. The answer of a stream is what came of it. That of a whole one is what its time was enough for if
        its client left, and never more than was set aside for it; for any other end its client is not to blame, and
        what may have been made is not charged.
        """
        self.lessons = min(self.lessons + LESSONS, MOST_LESSONS)
        size = len(ctx.plan.body)
        estimate = size // BYTES_PER_TOKEN
        known = self._known.get(_kind(ctx))
        fitted = known and known.prompts.fit()
        prompt = estimate
        if fitted:
            offset, slope = fitted
            prompt = min(max(round(offset + slope * size), estimate // 4), estimate * 4)
        if ctx.streamed or known is None or ctx.lifeline.reason is not _CLIENT_GONE:
            return Usage(prompt, ctx.token_events)
        return Usage(prompt, self._made(ctx, known.paces))

    def _made(self, ctx: RequestContext, paces: Line) -> int:
        """Tokens of a whole answer for which its time was enough."""
        pace = paces.fit()
        if pace is None or not pace[1]:
            return 0
        first, each = pace
        stated = ctx.plan.peeked.max_tokens
        bound = self._per_choice if stated is None else max(stated, 0)
        return round(min(max((self._secs(ctx) - first) / each, 0.0), bound) * _choices(ctx))

    def _secs(self, ctx: RequestContext) -> float:
        """How long a backend has had it, its body's arrival included."""
        return self._now() - ctx.started - (ctx.queue_wait or 0.0)


def _kind(ctx: RequestContext) -> Kind:
    return Kind(ctx.group, ctx.endpoint.path, ctx.streamed)


def _choices(ctx: RequestContext) -> int:
    """Sequences that the backend makes side by side."""
    return max(1, ctx.plan.peeked.n * ctx.plan.peeked.prompts)
