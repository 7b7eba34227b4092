"""How fast does the engine go? The times to the first token and between tokens, and the one place that waits."""

import asyncio
import random
import time
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Pace:
    """The engine's speed, in seconds.

    Args:
        first: from the start of a request to its first token (a pooling request: to its end).
        each: from one token to the next.
        spread: half the width of the uniform noise that is added to both.
        per_prompt_token: added to `first` for each token of the prompt.
    """

    first: float = 0.0
    each: float = 0.0
    spread: float = 0.0
    per_prompt_token: float = 0.0

    def to_first(self, prompt_tokens: int, noise: random.Random) -> float:
        """Seconds of prefill for a prompt of this many tokens."""
        return self._noisy(self.first + prompt_tokens * self.per_prompt_token, noise)

    def to_next(self, noise: random.Random) -> float:
        """Seconds until the next token."""
        return self._noisy(self.each, noise)

    def changed(self, **seconds: float) -> "Pace":
        """The same pace with some of its times replaced."""
        return replace(self, **seconds)

    def _noisy(self, seconds: float, noise: random.Random) -> float:
        if not self.spread:
            return seconds
        return max(0.0, seconds + noise.uniform(-self.spread, self.spread))


AT_ONCE = Pace()
"""As fast as the event loop turns: what tests want."""

LIKE_A_GPU = Pace(first=0.06, each=0.025, spread=0.004, per_prompt_token=0.000_1)
"""About a 7B model in fp8 on an L4: 40 tokens a second for one stream."""

LIKE_A_GPU_POOLING = Pace(first=0.008, spread=0.002, per_prompt_token=0.000_01)
"""About a 568M encoder on the same card."""


def wall_seconds() -> int:
    """The `created` field of an answer: whole seconds since the epoch."""
    return int(time.time())  # noqa: TID251 -- the wire format wants a wall clock; durations run on the loop's


async def pause(seconds: float) -> None:
    """Wait on the real clock: the simulator plays an engine, and time is what it simulates."""
    await asyncio.sleep(seconds)  # noqa: TID251 -- the simulator's one sleep
