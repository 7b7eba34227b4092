"""What did a stream cost so far, and which of its figures did the client ask for?"""

import re
from enum import Enum
from typing import Final

import msgspec

from gateway.core.usage import StatedUsage, Usage


class UsageCut(Enum):
    """Which of the figures that the gateway asked the backend for are taken out again (chat and completions)."""

    NOTHING = "nothing"
    """The client asked for all of them."""
    EVENTS = "events"
    """Those of each event go, the last event with the totals stays."""
    ALL = "all"
    """The client asked for none."""

    @classmethod
    def for_request(cls, *, include_usage: bool, continuous_usage: bool) -> "UsageCut":
        """What to cut for a request's `stream_options`; at vLLM `continuous_usage_stats` alone gives no usage."""
        if not include_usage:
            return cls.ALL
        return cls.NOTHING if continuous_usage else cls.EVENTS


MARK: Final = b'}],"usage":{'
"""Where an event's own figures begin, behind its choices. The raw quote after a comma cannot stand inside a JSON
string, where it would be escaped, so text that a model writes never looks like it."""

_NESTED: Final = re.compile(rb"[^{}\n]*+(?:\{[^{}\n]*+\}[^{}\n]*+)*+\}")
"""The rest of a usage object whose details are objects themselves."""


def figures_end(block: bytes, mark: int, end: int) -> int:
    """Where the usage object that `MARK` at `mark` opens is closed, before `end`; 0 when it is not."""
    start = mark + len(MARK)
    if block.find(b"{", start, end) < 0:
        return block.find(b"}", start, end) + 1
    match = _NESTED.match(block, start, end)
    return 0 if match is None else match.end()


_counts = msgspec.json.Decoder(StatedUsage)


def parse_usage(raw: bytes | msgspec.Raw) -> Usage | None:
    """Read a `usage` object of any dialect; None when it is null, cannot be read or states nothing."""
    try:
        return _counts.decode(raw).counts()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


class UsageTally:
    """The latest figures of a stream; nothing is parsed before somebody asks.

    Each event of vLLM states the figures of its own choice alone, so the latest of each choice are kept and added
    up, the prompt's once for each prompt.

    Attributes:
        latest: by the index of a choice (decimal digits), its usage object as text, without its braces.
    """

    __slots__ = ("_per_prompt", "_total", "latest")

    def __init__(self, choices_per_prompt: int) -> None:
        self._per_prompt = max(1, choices_per_prompt)
        self.latest: dict[bytes, bytes] = {}
        self._total: Usage | None = None

    def note(self, index: bytes, figures: bytes) -> None:
        """Remember the usage object of the choice `index`; a null in its place counts for nothing."""
        self.latest[index] = figures.removeprefix(b"{").removesuffix(b"}")

    def state(self, total: Usage) -> None:
        """The backend stated the whole stream's figures."""
        self._total = total

    def read(self) -> Usage | None:
        """The latest figures, None while there are none."""
        if self._total is not None:
            return self._total
        prompts: dict[int, int] = {}
        completion = 0
        for index, members in self.latest.items():
            usage = parse_usage(b"{%b}" % members)
            if usage is not None:
                prompts[int(index) // self._per_prompt] = usage.prompt_tokens
                completion += usage.completion_tokens
        return Usage(sum(prompts.values()), completion) if prompts else None
