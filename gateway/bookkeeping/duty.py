"""Which control process of this host publishes and keeps the books? The one that holds a lock in the shared folder."""

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from gateway.core.clock import Clock

FILE = "lock"
LOOK_SECS = 0.1
"""Between two tries: so long nobody is on duty when one hands over."""
DIRECTORY_MODE = 0o700


class Duty:
    """A turn of duty; a scope that ends it. The kernel takes the lock from whoever dies.

    Args:
        folder: of the control processes, in the folder that all of a host's share; made if need be.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = -1

    async def wait(self, clock: Clock) -> None:
        """Return when this process is on duty.

        Raises:
            OSError: the folder cannot be used.
        """
        self._folder.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        self._lock = os.open(self._folder / FILE, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                await clock.sleep(LOOK_SECS)
            else:
                return

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1
