"""How long is `2m30s`? A span of time as Docker Compose and nginx write it."""

import re

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhd])?\s*")


def seconds(text: str) -> float | None:
    """The span in seconds; a number without a unit is in seconds, as in nginx. None where it is no span."""
    total, position = 0.0, 0
    while found := _PART.match(text, position):
        total += float(found[1]) * _UNITS[found[2] or "s"]
        position = found.end()
    return total if text and position == len(text) else None
