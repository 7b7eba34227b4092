"""How does a line leave the process? Through a bounded buffer and a thread, so that a blocked pipe blocks nobody."""

import fcntl
import os
import stat
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

FLUSH_SECS = 0.1
"""Lines are gathered for this long: one write for all of them costs a tenth of a write each."""
MAX_BUFFERED_BYTES = 4 * 1024 * 1024
"""What a stuck reader may make us hold; lines beyond it are dropped and counted."""
CLOSE_SECS = 2.0
"""How long closing waits for a reader that does not read."""


class LogWriter:
    """Writes lines to a file descriptor from a thread of its own.

    Workers share the descriptor: a pipe takes in one piece only what it has room for, so each locks it while it writes.

    Args:
        fd: where the lines go; it stays open.
        on_drop: told of every line that is given up: the buffer was full, or the descriptor takes no more (a full
            disk). Called from either thread.
    """

    def __init__(self, fd: int, on_drop: Callable[[], None]) -> None:
        self._fd = fd
        self._on_drop = on_drop
        self._is_pipe = stat.S_ISFIFO(os.fstat(fd).st_mode)
        # Without a lock, which would cost more than the rest of a write: a deque's ends belong to any thread, and `+=`
        # on an attribute, with no call in it, has no point at which CPython's own lock changes hands.
        self._lines: deque[bytes] = deque()
        self._size = 0
        self._wake = threading.Event()
        self._asleep = True
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    def write(self, line: bytes) -> None:
        """Queue one line, its newline included; never blocks on the reader."""
        size = len(line)
        if self._size + size > MAX_BUFFERED_BYTES:
            self._on_drop()
            return
        self._size += size
        self._lines.append(line)
        if self._asleep:
            self._asleep = False
            self._wake.set()

    def close(self) -> None:
        """Write what is left, for at most CLOSE_SECS."""
        self._closing = True
        self._wake.set()
        self._thread.join(CLOSE_SECS)

    def _run(self) -> None:
        while not self._closing:
            self._wake.wait()
            if not self._closing:
                time.sleep(FLUSH_SECS)
            self._wake.clear()
            self._asleep = True  # before the lines are taken: who comes now wakes us again, perhaps for nothing
            self._flush()
        self._flush()

    def _flush(self) -> None:
        lines = [self._lines.popleft() for _ in range(len(self._lines))]
        data = b"".join(lines)
        if data:
            with self._alone():
                lost = self._write_all(data)
            for _ in range(lost.count(b"\n")):
                self._on_drop()
        size = len(data)  # a call: between the look at `_size` and its store another thread could get in
        self._size -= size

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the pipe's lock, which ends with its process; other descriptors take a write in one piece."""
        if not self._is_pipe:
            yield
            return
        fcntl.lockf(self._fd, fcntl.LOCK_EX)
        yield
        fcntl.lockf(self._fd, fcntl.LOCK_UN)

    def _write_all(self, data: bytes) -> bytes:
        """Write, as long as it takes; gives back what the descriptor refuses."""
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._fd, view) :]
            except BlockingIOError:
                time.sleep(FLUSH_SECS)
            except OSError:
                break
        return bytes(view)
