"""Since when does the host run? The kernel's name for this boot: the monotonic clock starts anew with each."""

from pathlib import Path
from typing import Final

BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
"""random(4); containers see the host's."""
UNKNOWN: Final = "unknown"


def boot_id() -> str:
    """The name, or `unknown` where the kernel does not tell."""
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return UNKNOWN
