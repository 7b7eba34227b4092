"""What does vLLM say of its engine? The few figures of its `/metrics` that tell whether it moves."""

import math
import re
from typing import NamedTuple

MAX_PAGE_BYTES = 4 * 1024 * 1024
"""A page of one engine has some 100 KB; more than this is not read."""

_SAMPLE = re.compile(
    rb"^(?:vllm:(num_requests_running|num_requests_waiting|generation_tokens_total|prompt_tokens_total"
    rb"|request_success_total)(?:\{[^}\n]*\})?|(http_requests_total)\{[^}\n]*handler=\"/v1/models\"[^}\n]*\})"
    rb"[ \t]+([^ \t\r\n]+)",
    re.MULTILINE,
)
"""A label's value may hold a brace only where a model's name does; such a page counts as saying nothing."""
_FINITE = re.compile(rb"[0-9.eE+-]+")
"""All that a finite number is written with; Python reads underscores and some blanks into one too."""
_LISTED = b"http_requests_total"
_NAMES = 5


class Figures(NamedTuple):
    """One page's sums over all engines and models.

    Attributes:
        running: requests that the engine works on.
        waiting: requests that wait for it.
        generated: tokens made since its start.
        prompted: tokens of prompts taken in since its start.
        finished: requests that ended by themselves since its start.
        listed: how often its models were asked for, as every probe does; None where it does not say. A page in which
            this stands still between two probes is an old one.
    """

    running: float
    waiting: float
    generated: float
    prompted: float
    finished: float
    listed: float | None = None

    @property
    def counters(self) -> tuple[float, float, float]:
        """What changes whenever the engine does something."""
        return self.generated, self.prompted, self.finished


def read_figures(page: bytes) -> Figures | None:
    """The figures of a page in Prometheus' text format; None where one is missing or no finite number above zero."""
    sums: dict[bytes, float] = {}
    for engines, servers, written in _SAMPLE.findall(page):
        name = engines or servers
        try:
            value = float(written) if _FINITE.fullmatch(written) else math.nan
        except ValueError:
            return None
        if not math.isfinite(value) or value < 0:
            return None
        sums[name] = sums.get(name, 0.0) + value
    listed = sums.pop(_LISTED, None)
    if len(sums) < _NAMES:
        return None
    return Figures(
        running=sums[b"num_requests_running"],
        waiting=sums[b"num_requests_waiting"],
        generated=sums[b"generation_tokens_total"],
        prompted=sums[b"prompt_tokens_total"],
        finished=sums[b"request_success_total"],
        listed=listed,
    )
