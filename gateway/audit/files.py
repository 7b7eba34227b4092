"""Where do records lie? In a few files of bounded size, which all processes of the gateway write one at a time.

`audit.jsonl` is written; when it is full it becomes `audit.1.jsonl`, that one `audit.2.jsonl`, and the oldest goes. Who
writes or renames holds a lock on the folder's `lock` file, which the kernel takes from whoever dies. Nobody waits for
it but the threads that write.
"""

import fcntl
import itertools
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

NAME = "audit.jsonl"
LOCK = "lock"
OURS_ALONE = 0o600
FOLDER_OURS_ALONE = 0o700
FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_CREAT


class Outcome(NamedTuple):
    """How many lines were written, from the first on, and why the others were not."""

    written: int
    failure: OSError | None = None


class AuditFiles:
    """The files of one folder; to be used by one thread.

    Args:
        folder: made when it is first written to.
        max_bytes: of one file, unless a single line is longer.
        count: of files, the one that is written included.
    """

    def __init__(self, folder: Path, *, max_bytes: int, count: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._names = [folder / NAME, *(_older(folder, number) for number in range(1, count))]
        self._lock: int | None = None
        self._file: int | None = None

    def write(self, lines: Sequence[bytes]) -> Outcome:
        """Append lines, each of which ends with its only line break, and is written whole or not at all."""
        written = 0
        try:
            with self._alone():
                file, size = self._current()
                for begins, batch in self._fitting(lines, size):
                    if begins:
                        self._rotate()
                        file, size = self._current()
                    size = _append(file, size, b"".join(batch))
                    written += len(batch)
        except OSError as failure:
            return Outcome(written, failure)
        return Outcome(written)

    def close(self) -> None:
        """Let go of the files."""
        for descriptor in (self._file, self._lock):
            if descriptor is not None:
                os.close(descriptor)
        self._file = self._lock = None

    def _fitting(self, lines: Sequence[bytes], size: int) -> Iterator[tuple[bool, list[bytes]]]:
        """The lines by the file that they go to, and whether it is a new one; the first has `size` bytes already."""
        begins, batch = False, list[bytes]()
        for line in lines:
            if size and size + len(line) > self._max_bytes:
                if batch:
                    yield begins, batch
                begins, batch, size = True, [], 0
            batch.append(line)
            size += len(line)
        if batch:
            yield begins, batch

    @contextmanager
    def _alone(self) -> Iterator[None]:
        path = self._folder / LOCK
        lock = self._lock
        if lock is None or not _is_at(lock, path):
            self.close()
            self._folder.mkdir(FOLDER_OURS_ALONE, parents=True, exist_ok=True)
            self._lock = lock = os.open(path, os.O_RDWR | FLAGS, OURS_ALONE)
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(lock, fcntl.LOCK_UN)

    def _current(self) -> tuple[int, int]:
        """The file that is written now, which another process may have begun, and its size."""
        path = self._names[0]
        file = self._file
        if file is None or not _is_at(file, path):
            if file is not None:
                os.close(file)
                self._file = None
            self._file = file = os.open(path, os.O_RDWR | os.O_APPEND | FLAGS, OURS_ALONE)
            os.fchmod(file, OURS_ALONE)  # an operator may have made it
        size = os.fstat(file).st_size
        if size and os.pread(file, 1, size - 1) != b"\n":  # who wrote the last line died over it
            size = _append(file, size, b"\n")
        return file, size

    def _rotate(self) -> None:
        if len(self._names) == 1:
            self._names[0].unlink()
        for older, younger in zip(self._names[:0:-1], self._names[-2::-1], strict=True):
            if younger.exists():
                younger.replace(older)
        beyond = (_older(self._folder, number) for number in itertools.count(len(self._names)))
        for file in itertools.takewhile(Path.exists, beyond):  # of a time when more were kept
            file.unlink()


def _older(folder: Path, number: int) -> Path:
    return folder / f"audit.{number}.jsonl"


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether that is the file that the path leads to; it may have been renamed or removed."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _append(file: int, size: int, data: bytes) -> int:
    """Write all of it, or leave the file's `size` as it was where there is no room; the size then."""
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(file, view) :]
    except OSError:
        os.ftruncate(file, size)
        raise
    return size + len(data)
