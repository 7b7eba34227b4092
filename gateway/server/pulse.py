"""Does a worker's loop turn? It says so every second in memory that its supervisor sees, and shows its stack."""

import asyncio
import contextlib
import faulthandler
import mmap
import os
import signal
from collections.abc import Callable
from typing import Self

BEAT_SECS = 1.0
STACK_AT = mmap.PAGESIZE
"""The page's first eight bytes are the last beat's time; behind the page the stack is written when it is asked for."""
STACK_BYTES = 65536
"""More than a hundred frames, where faulthandler stops."""
ASK = signal.SIGUSR1
"""Answered by faulthandler within the signal's handler: also while a call into a library does not return."""


class Pulse:
    """A worker's pulse as its supervisor sees it; a scope that holds the memory's descriptor.

    Raises:
        OSError: there is no memory, or no descriptor, for it.
    """

    def __init__(self) -> None:
        with contextlib.ExitStack() as undo:
            self.descriptor = os.memfd_create("gateway-pulse", os.MFD_CLOEXEC)
            undo.callback(os.close, self.descriptor)
            os.posix_fallocate(self.descriptor, 0, STACK_AT)
            self._memory = mmap.mmap(self.descriptor, STACK_AT, prot=mmap.PROT_READ)
            undo.callback(self._memory.close)
            self._undo = undo.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()

    def last(self) -> float:
        """When the loop last turned, in seconds of the monotonic clock; 0 before it began."""
        with memoryview(self._memory)[:8] as word, word.cast("d") as time:
            return time[0]

    def clear_stack(self) -> None:
        """Make room for another answer. The worker writes where the file's position stands, which is shared with it."""
        os.ftruncate(self.descriptor, STACK_AT)
        os.lseek(self.descriptor, STACK_AT, os.SEEK_SET)

    def stack(self) -> list[str]:
        """What the worker has written so far: a line a frame, the innermost first; names and lines, no values."""
        lines = os.pread(self.descriptor, STACK_BYTES, STACK_AT).decode(errors="replace").splitlines()
        return [line.strip() for line in lines if line.startswith("  ")]


class Heart:
    """The worker's side: beats as long as the loop turns, from the moment it is made.

    Attributes:
        on_beat: called at each beat, once a second, with the seconds by which it came late.
    """

    def __init__(self, descriptor: int) -> None:
        self.on_beat: Callable[[float], None] = lambda _: None
        self._loop = asyncio.get_running_loop()
        self._time = memoryview(mmap.mmap(descriptor, STACK_AT))[:8].cast("d")
        self._due = self._loop.time()
        faulthandler.register(ASK, file=descriptor, all_threads=False)
        self._beat()  # last: from here on the supervisor may ask, and before it the signal would end the process

    def _beat(self) -> None:
        now = self._time[0] = self._loop.time()
        late = max(0.0, now - self._due)
        self._due = now + BEAT_SECS
        self._loop.call_at(self._due, self._beat)
        self.on_beat(late)
