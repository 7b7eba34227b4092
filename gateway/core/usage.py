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
