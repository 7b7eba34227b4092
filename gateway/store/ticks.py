"""How often does a worker look after what it shares, and for how long does it then hold nothing for later?"""

import math

TICK_SECS = 0.1
"""How soon a dead worker, a lost wake-up or an unpaid release is noticed; a tick costs some 50 us."""

LOOKS = 3
"""How often, a tick apart, one who would be refused looks for what others hold and are called to give back."""

LOAN_SECS = LOOKS * TICK_SECS
"""For how long a worker may use tokens that it holds; it gives back with its first tick. What one that dies or stands
still holds longer is as good as used, and flows in again like all that was used: whoever needs it still looks then."""

TICKS_WITHOUT = 3
"""For how many ticks a worker holds nothing once it is told that somebody waits; that is repeated once a tick."""


class Pause:
    """The time for which a worker holds nothing for its next requests, as somebody waits for it.

    Attributes:
        ticks: still to come; 0: there is none.
    """

    __slots__ = ("ticks",)

    def __init__(self) -> None:
        self.ticks = 0.0

    def begin(self) -> None:
        """Somebody waits."""
        self.ticks = TICKS_WITHOUT

    def tick(self) -> None:
        """One tick less is still to come."""
        self.ticks = max(self.ticks - 1, 0)

    def last(self) -> None:
        """Hold nothing from now on."""
        self.ticks = math.inf
