"""How many tokens did it cost? The figures a backend states in its `usage` object."""

import msgspec


class Usage(msgspec.Struct, frozen=True):
    """Token counts as the backend stated them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


MAX_TOKENS = 2**53
"""Above any answer, and the largest whole number up to which a counter is exact."""


def plausible(usage: Usage | None) -> Usage | None:
    """The figures, or None where they cannot be true: a counter cannot go back, nor a log line hold any number."""
    if usage is None or (0 <= usage.prompt_tokens <= MAX_TOKENS and 0 <= usage.completion_tokens <= MAX_TOKENS):
        return usage
    return None


class StatedUsage(msgspec.Struct):
    """A `usage` object of any dialect, as a decoder's target; a member that is absent or null is None."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None

    def counts(self) -> Usage | None:
        """What it states, None when that is nothing; Anthropic's input leaves out what a cache held, ours does not."""
        if self.prompt_tokens is not None:
            return Usage(self.prompt_tokens, self.completion_tokens or 0)
        if self.input_tokens is None:
            return None
        cached = (self.cache_read_input_tokens or 0) + (self.cache_creation_input_tokens or 0)
        return Usage(self.input_tokens + cached, self.output_tokens or 0)
