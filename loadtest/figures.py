"""What is made of the times? When the first token came, how long the next ones took, and what most requests saw."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

FIRST, BETWEEN, RATE = "TTFT", "ITL", "TOK/S"
"""Locust's request types of our own metrics: ms to the first token, ms between two tokens, tokens a second."""
SHARES = (50, 95, 99)
TTFT_P99_MS = 2500.0
"""The first token comes within this for 99 of 100 streams."""


@dataclass(slots=True)
class Stream:
    """The tokens of one stream, in seconds of one clock.

    Attributes:
        sent: when the request was.
        tokens: when each event with a token came.
    """

    sent: float
    tokens: list[float] = field(default_factory=list)

    def first_ms(self) -> float | None:
        """Milliseconds to the first token; None: there was none."""
        return (self.tokens[0] - self.sent) * 1000 if self.tokens else None

    def between_ms(self) -> list[float]:
        """Milliseconds from each token to the next."""
        return [(later - sooner) * 1000 for sooner, later in zip(self.tokens, self.tokens[1:], strict=False)]

    def rate(self) -> float | None:
        """Tokens a second once the first one was there; None: there were not two at two times."""
        if len(self.tokens) < 2 or self.tokens[-1] <= self.tokens[0]:  # noqa: PLR2004 -- a rate needs two moments
            return None
        return (len(self.tokens) - 1) / (self.tokens[-1] - self.tokens[0])


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of the values that `share` per cent of them do not exceed (nearest rank).

    Raises:
        ValueError: there are none.
    """
    if not values:
        raise ValueError("no values, no percentile")
    return sorted(values)[max(0, math.ceil(len(values) * share / 100) - 1)]


@dataclass(slots=True)
class Run:
    """Everything that one run has seen.

    Attributes:
        seconds: how long it took.
        samples: the values of each metric, by type and name: `("TTFT", "chat")`, `("POST", "/v1/rerank")`.
        tokens: how many came in all.
        failed: what went wrong, and how often.
    """

    seconds: float = 0.0
    samples: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    tokens: int = 0
    failed: dict[str, int] = field(default_factory=dict)

    def note(self, kind: str, name: str, value: float) -> None:
        """One value of a metric."""
        self.samples.setdefault((kind, name), []).append(value)

    def fail(self, what: str) -> None:
        """One request has failed."""
        self.failed[what] = self.failed.get(what, 0) + 1

    def requests(self) -> int:
        """How many answers there were, failed ones aside."""
        return sum(len(values) for (kind, _), values in self.samples.items() if kind == "POST")

    def objections(self) -> list[str]:
        """Why the run is no success; empty when it is."""
        found = [f"{count} times: {what}" for what, count in sorted(self.failed.items())]
        firsts = [value for (kind, _), values in self.samples.items() if kind == FIRST for value in values]
        if not firsts:
            found.append("no stream has brought a token")
        elif (worst := percentile(firsts, 99)) > TTFT_P99_MS:
            found.append(f"p99 of the time to the first token is {worst:.0f} ms, over {TTFT_P99_MS:.0f} ms")
        return found

    def table(self) -> str:
        """The figures as a Markdown table, and the throughput under it."""
        rows = ["| metric | of | count | p50 | p95 | p99 |", "|---|---|---|---|---|---|"]
        for (kind, name), values in sorted(self.samples.items()):
            unit = kind if kind == RATE else f"{kind} ms"
            shown = " | ".join(f"{percentile(values, share):.1f}" for share in SHARES)
            rows.append(f"| {unit} | {name} | {len(values)} | {shown} |")
        seconds = self.seconds or math.nan
        rows.append("")
        rows.append(
            f"{self.requests() / seconds:.1f} requests a second and {self.tokens / seconds:.0f} tokens a second "
            f"over {self.seconds:.0f} s; {sum(self.failed.values())} requests failed."
        )
        return "\n".join(rows)
