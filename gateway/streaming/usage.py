"""What did a stream cost so far, and which of its figures did the client ask for?"""

import re
from enum import Enum
from typing import Final

import msgspec

from gateway.core.usage import Usage


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
"""Where an event's own figures begin. A raw quote after a comma is never inside a JSON string, so text that a model
writes cannot look like it."""

_OBJECT: Final = rb"\{(?:[^{}\n]|\{[^{}\n]*\})*+\}"
TAIL: Final = re.compile(rb'(?<=\}\]),"usage":' + _OBJECT)
"""An event's own figures, with the comma before them; the last event's follow an empty list of choices instead."""

_OF_CHOICE: Final = re.compile(rb'"choices":\[\{"index":(\d+),[^\n]*\}\],"usage":(' + _OBJECT + rb")")


class _Counts(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None


_counts = msgspec.json.Decoder(_Counts)


def parse_usage(raw: bytes | msgspec.Raw) -> Usage | None:
    """Read a `usage` object of any dialect; None when it cannot be read or states nothing.

    Anthropic's input tokens do not include those found in a cache; ours do.
    """
    try:
        counts = _counts.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if counts.prompt_tokens is not None:
        return Usage(counts.prompt_tokens, counts.completion_tokens or 0)
    if counts.input_tokens is None:
        return None
    cached = (counts.cache_read_input_tokens or 0) + (counts.cache_creation_input_tokens or 0)
    return Usage(counts.input_tokens + cached, counts.output_tokens or 0)


class UsageTally:
    """The latest figures of a stream; nothing is parsed before somebody asks.

    Each event of vLLM states the figures of its own choice alone, so with several choices the latest of each are
    kept and added up, the prompt's once for each prompt.
    """

    __slots__ = ("_latest", "_per_prompt", "_several", "_total")

    def __init__(self, choices: tuple[int, int]) -> None:
        self._per_prompt, prompts = choices
        self._several = self._per_prompt * prompts > 1
        self._latest: dict[int, bytes] = {}
        self._total: Usage | None = None

    def note(self, block: bytes) -> None:
        """Remember the figures in a run of events; it holds `MARK`."""
        if not self._several:
            self._latest[0] = block
            return
        for match in _OF_CHOICE.finditer(block):
            self._latest[int(match[1])] = match[0]

    def state(self, total: Usage) -> None:
        """The backend stated the whole stream's figures."""
        self._total = total

    def read(self) -> Usage | None:
        """The latest figures, None while there are none."""
        if self._total is not None:
            return self._total
        prompts: dict[int, int] = {}
        completion = 0
        for index, block in self._latest.items():
            match = TAIL.match(block, block.rfind(MARK) + 2)
            usage = None if match is None else parse_usage(match[0].removeprefix(b',"usage":'))
            if usage is not None:
                prompts[index // self._per_prompt] = usage.prompt_tokens
                completion += usage.completion_tokens
        return Usage(sum(prompts.values()), completion) if prompts else None
