"""Lets the clock on the wall jump, for one gateway's processes alone: put on their PYTHONPATH.

Python imports a module of this name at its start. `time.time` then is as many seconds off as the file that WALL_CLOCK
names says at that moment; the monotonic clock goes on as it was, as it does when a host's time of day is set.
"""

import mmap
import os
import struct
import time

OFFSET = struct.Struct("=d")
FILE = os.environ.get("WALL_CLOCK")  # noqa: TID251 -- this runs before any settings are read


def _jumping(path: str) -> None:
    real = time.time  # noqa: TID251 -- it is this clock that is to jump
    with open(path, "rb") as file:  # noqa: PTH123 -- nothing more is imported than must be
        seen = mmap.mmap(file.fileno(), OFFSET.size, prot=mmap.PROT_READ)

    def wall() -> float:
        offset: float = OFFSET.unpack_from(seen)[0]
        return real() + offset

    time.time = wall  # noqa: TID251 -- the same


if FILE:
    _jumping(FILE)
