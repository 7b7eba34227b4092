"""How many tokens did it cost? The figures a backend states in its `usage` object."""

from typing import NamedTuple


class Usage(NamedTuple):
    """Token counts as the backend stated them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
