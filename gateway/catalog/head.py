"""What changes of the catalog are seen without a system call? One page that the publisher writes and workers map."""

import contextlib
import hashlib
import mmap
import os
import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from gateway.catalog.errors import CatalogUnavailableError
from gateway.catalog.records import LAYOUT
from gateway.core.fence import fence

FOLDER = "catalog"
"""Of LIMITER_PATH, where all that the processes of a host share stands."""
HEAD_BYTES = 4096
DIRECTORY_MODE = 0o700
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

_LAYOUT: Final = 0
_BOOT: Final = 1
_VERSION: Final = 2
_ENVIRONMENT: Final = 3
_CONTACT: Final = 4
_IN_VAIN: Final = 5
"""The words of the page, of eight bytes each, which x86-64 and arm64 never show by halves."""


class Head:
    """The page as one process has mapped it; it has one writer.

    Attributes:
        identity: which file it is, however that is called by now.
        version: gives a number that is another one after any publication; 0 while there was none. One load; who
            acts on a new one calls `fence` before reading what was published.
        environment: gives the number of the one that holds what was published; 0 while there is none.
        contact: gives when the database last answered the publisher, in seconds on the monotonic clock; 0.0: never.
        in_vain: gives whether a publisher has asked the database and got no answer, as 1 or 0.
    """

    def __init__(self, page: int, *, write: bool) -> None:
        found = os.fstat(page)
        self.identity = (found.st_dev, found.st_ino)
        self._boot = boot()
        protection = mmap.PROT_READ | (mmap.PROT_WRITE if write else 0)
        memory = memoryview(mmap.mmap(page, HEAD_BYTES, prot=protection))
        self._words = memory.cast("Q")
        self._moments = memory.cast("d")
        self.version: Callable[[], int] = partial(self._words.__getitem__, _VERSION)
        self.environment: Callable[[], int] = partial(self._words.__getitem__, _ENVIRONMENT)
        self.contact: Callable[[], float] = partial(self._moments.__getitem__, _CONTACT)
        self.in_vain: Callable[[], int] = partial(self._words.__getitem__, _IN_VAIN)

    @property
    def sound(self) -> bool:
        """Whether a publisher of this release wrote it since the host was started."""
        return self._words[_LAYOUT] == LAYOUT and self._words[_BOOT] == self._boot

    def begin(self) -> None:
        """Say that nothing is published, whatever stood here."""
        for word in range(HEAD_BYTES // self._words.itemsize):
            self._words[word] = 0
        self._words[_BOOT] = self._boot
        self._words[_LAYOUT] = LAYOUT

    def announce(self, environment: int, version: int) -> None:
        """What stands in that environment is what was published; after the transaction that wrote it."""
        fence()
        self._words[_ENVIRONMENT] = environment
        fence()
        self._words[_VERSION] = version

    def beat(self, now: float) -> None:
        """The database answered, at that moment."""
        self._moments[_CONTACT] = now

    def miss(self) -> None:
        """The database did not answer."""
        self._words[_IN_VAIN] = 1


def open_head(folder: Path, *, write: bool) -> Head:
    """The page of the catalog in this folder; both are made if need be, so that nobody must come first.

    Raises:
        CatalogUnavailableError: it cannot be mapped, or is another user's.
    """
    try:
        make_folder(folder)
        page = os.open(folder / "head", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            if not stat.S_ISREG(os.fstat(page).st_mode):
                raise CatalogUnavailableError(f"{folder}/head is no file")
            os.posix_fallocate(page, 0, HEAD_BYTES)  # it never becomes shorter: who has it mapped would get a SIGBUS
            return Head(page, write=write)
        finally:
            os.close(page)
    except OSError as error:
        raise CatalogUnavailableError(f"{folder} cannot be used: {error.strerror}") from error


def is_at(head: Head, folder: Path) -> bool:
    """Whether that is still the page which everybody finds in this folder."""
    with contextlib.suppress(OSError):
        found = (folder / "head").lstat()
        return head.identity == (found.st_dev, found.st_ino)
    return False


def make_folder(folder: Path) -> None:
    """A directory of this user's own, and likewise those above it that there are not.

    Raises:
        CatalogUnavailableError: it is somebody else's, or others may enter.
        OSError: it cannot be made.
    """
    for directory in (*reversed(folder.parents), folder):
        if not directory.exists():
            directory.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise CatalogUnavailableError(f"{folder} must be a directory of this user's own, mode 0700")


def boot() -> int:
    """A number for this boot of the host: the monotonic clock starts anew with each."""
    try:
        name = BOOT_ID.read_bytes()
    except OSError:
        name = b"unknown"
    return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "big")
