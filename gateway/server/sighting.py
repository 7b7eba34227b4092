"""How long has no request run on this host? Each supervisor keeps what it sees in a file that outlives it."""

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import orjson

from gateway.core.records import record_of, words_at

FOLDER = "idle"
"""Of DATA_PATH, which all gateways of a Compose project share, however many there are."""
SUFFIX = ".seen"
JOINING = "joining.lock"
WORDS_BYTES = 1024
TRIES = 10
"""How often a record is read again that was written meanwhile."""
STALE_SECS = 15.0
"""A supervisor looks once a second. One that has not for so long stands still, and what its workers do is unknown."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """What one supervisor has seen; times are seconds of the monotonic clock, which all containers of a host share.

    Attributes:
        boot: the kernel's name for the boot of the host in which that was.
        active_at: when a request last ran; where none has, since when somebody has looked.
        seen_at: when it last looked.
        running: requests that ran or waited then.
    """

    boot: str
    active_at: float
    seen_at: float
    running: int


@dataclass(frozen=True, slots=True)
class Found:
    """A supervisor's file.

    Attributes:
        path: where it is.
        alive: whether the supervisor lives.
        sighting: what it has seen; None: the file cannot be read.
    """

    path: Path
    alive: bool
    sighting: Sighting | None


@dataclass(frozen=True, slots=True)
class Idleness:
    """What all gateways of the host have seen together.

    Attributes:
        secs: since a request last ran anywhere; 0.0 while one does.
        running: requests that run or wait; one in an engine may be told by each gateway.
        gateways: how many have looked.
    """

    secs: float
    running: int
    gateways: int


class UnseenError(Exception):
    """Whether a request runs cannot be told, and why: that is not idleness."""


class SightingFile:
    """A supervisor's own file; a scope. The lock on it says that the supervisor lives, however that may end.

    Args:
        folder: which all gateways of the host share; made where there is none.
        boot: the kernel's name for this boot.
        now: on the monotonic clock.

    Attributes:
        active_at: since when it counts. Who comes goes on where those before it stood: neither a restart nor the time
            in which nobody looked is use, nor is it idleness. In a new boot, or a new folder, it counts from now.

    Raises:
        OSError: the folder cannot be written.
    """

    def __init__(self, folder: Path, boot: str, now: float) -> None:
        self._folder = folder
        self._boot = boot
        self._now = now
        self.active_at = now

    def __enter__(self) -> Self:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with joining(self._folder):
            earlier = find(self._folder)
            seen = [one.sighting for one in earlier if one.sighting and one.sighting.boot == self._boot]
            if seen:
                unseen = self._now - max(one.seen_at for one in seen)
                self.active_at = min(self._now, max(one.active_at for one in seen) + max(0.0, unseen))
            path = self._folder / f"{secrets.token_hex(8)}{SUFFIX}"
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX)
                self.tell(Sighting(self._boot, self.active_at, self._now, 0))
            except OSError:
                os.close(self._file)
                raise
            for one in earlier:  # only now: whoever reads meanwhile finds the old or the new
                if not one.alive:
                    one.path.unlink(missing_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        """Leave it for whoever comes next."""
        os.close(self._file)

    def tell(self, sighting: Sighting) -> None:
        """Write it over the last one.

        Raises:
            OSError: it cannot be written, or the file was removed.
        """
        os.pwrite(self._file, record_of(orjson.dumps(asdict(sighting))), 0)
        if not os.fstat(self._file).st_nlink:
            raise FileNotFoundError("it was removed while the gateway ran")


@contextlib.contextmanager
def joining(folder: Path) -> Iterator[None]:
    """One at a time: who comes reads what is there, adds its own file, and removes those of the dead."""
    lock = os.open(folder / JOINING, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def find(folder: Path) -> list[Found]:
    """The files of all supervisors, those of the dead included.

    Raises:
        OSError: they are another user's.
    """
    found = []
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                alive = False
            except BlockingIOError:
                alive = True
            found.append(Found(path, alive, read(file.fileno())))
    return found


def read(file: int) -> Sighting | None:
    """What stands in a file; None when that is nothing whole."""
    for _ in range(TRIES):
        words = words_at(memoryview(os.pread(file, WORDS_BYTES, 0)), 0, WORDS_BYTES)
        if words is not None:
            with contextlib.suppress(TypeError):  # another release's, with other fields
                return Sighting(**orjson.loads(words))
    return None


def idleness(folder: Path, boot: str, now: float) -> Idleness:
    """What all gateways of this host have seen.

    Raises:
        UnseenError: none lives, or one that does has not looked of late.
        OSError: the files are another user's.
    """
    found = find(folder)
    living = [one for one in found if one.alive]
    if not living:
        raise UnseenError(f"no gateway runs that keeps {folder}")
    for one in living:
        if one.sighting is None or one.sighting.boot != boot:
            raise UnseenError(f"{one.path}, of a gateway that runs, cannot be read")
        if (silent := now - one.sighting.seen_at) > STALE_SECS:
            raise UnseenError(f"a gateway that runs has not looked at its workers for {silent:.0f} s")
    seen = [one.sighting for one in found if one.sighting and one.sighting.boot == boot]
    running = sum(one.sighting.running for one in living if one.sighting)
    secs = 0.0 if running else max(0.0, now - max(one.active_at for one in seen))
    return Idleness(secs, running, len(living))
