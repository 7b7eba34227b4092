"""Whose records were given up? One line a minute names who lost the most."""

import logging
from typing import Final

from gateway.core.clock import Clock

logger = logging.getLogger(__name__)

SAY_SECS: Final = 60.0
MAX_NAMES: Final = 1024
"""Organizations that are counted by name between two lines."""
REMEDY: Final = (
    "the organization sends more than a worker can read and write: lower its limits or AUDIT_MAX_BODY_BYTES, or set "
    "AUDIT_LOG=metadata; others keep their share"
)


class GivenUp:
    """Counts between two lines.

    Args:
        clock: for the minute.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._say_at = clock.monotonic()
        self._records = 0
        self._by_name: dict[str, int] = {}

    def note(self, organization: str) -> None:
        """One more; said at once, unless a line was written within the last minute."""
        self._records += 1
        if organization in self._by_name or len(self._by_name) < MAX_NAMES:
            self._by_name[organization] = self._by_name.get(organization, 0) + 1
        now = self._clock.monotonic()
        if now >= self._say_at:
            self._say_at = now + SAY_SECS
            self.say()

    def say(self) -> None:
        """Say what has gathered, if anything has."""
        if not self._records:
            return
        most = max(self._by_name, key=self._by_name.__getitem__)
        logger.warning(
            "audit_share_used_up",
            extra={
                "organization": most,
                "its_records": self._by_name[most],
                "all_records": self._records,
                "remedy": REMEDY,
            },
        )
        self._records = 0
        self._by_name.clear()
