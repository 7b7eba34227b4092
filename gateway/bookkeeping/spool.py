"""Where does usage wait for a database that is away? In one file, each batch with its checksum, on the disk at once."""

import errno
import fcntl
import os
import struct
import threading
import zlib
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from gateway.core.usage_sheet import Sheet

FILE = "usage.spool"
NAMES = (FILE, *(f"{FILE}.{number}" for number in range(1, 100)))
"""Gateways that share DATA_PATH, as the containers of a scaled one do, have a file each: the first that is free."""
MAGIC = b"GWU2"
HEAD = struct.Struct("<4sII")
"""The magic, the length of what follows, and its CRC-32."""
MAX_BATCH_BYTES = 16 * 2**20
"""A longer one is none of ours."""


class Batch(Struct, frozen=True, array_like=True):
    """Sheets of usage records as the journal had them.

    Attributes:
        journal: its name, by which no sheet is booked twice; another gateway's journal may be here by then.
        epoch: of the counters in which they were made.
        at: when they were taken from the journal, in seconds since 1970.
        sheets: with their keys.
    """

    journal: str
    epoch: str
    at: float
    sheets: list[Sheet]


class Frame(Struct, frozen=True):
    """A batch in the file, and where the next one begins."""

    batch: Batch
    end: int


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Batch).decode


class Spool:
    """Batches in the order in which they were appended; its methods may be called from any thread, and block.

    What an earlier process left is found again, but for a batch that it was about to write, and so is what a gateway
    has left that shared the folder. One that the disk has spoilt is passed over; those behind it count.

    Args:
        folder: DATA_PATH; made if need be.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = -1
        self._head = 0
        self._end = 0
        self._turn = threading.Lock()
        self.cut = 0
        """Bytes that were found to be no batch, and cut off."""

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        return self._head == self._end

    @property
    def size(self) -> int:
        """Bytes that wait."""
        return self._end - self._head

    def open(self) -> None:
        """Find what an earlier process left; once it is open, nothing happens.

        Raises:
            OSError: the file cannot be had, or another process has it.
        """
        with self._turn:
            self._open()

    def _open(self) -> None:
        if self._file >= 0:
            return
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        taken = (file for name in NAMES if (file := self._lock(name)) is not None)
        file = next(taken, None)
        if file is None:
            raise OSError(errno.EAGAIN, f"each of {len(NAMES)} files in {self._folder} has a gateway")
        try:
            self._file, self._head, self._end = file, 0, os.fstat(file).st_size
            position = 0
            while (frame := self._valid_from(position)) is not None:
                position = frame.end
            self.cut = self._end - position
            os.ftruncate(file, position)
            self._end = position
        except BaseException:
            self._file = -1
            self._head = self._end = 0
            os.close(file)
            raise

    def _lock(self, name: str) -> int | None:
        """The file of that name, which is then ours; None: another process has it."""
        file = os.open(self._folder / name, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BaseException as error:
            os.close(file)
            if isinstance(error, BlockingIOError):
                return None
            raise
        return file

    def close(self) -> None:
        """Let go of the file; what waits, stays."""
        with self._turn:
            if self._file >= 0:
                os.close(self._file)
            self._file = -1

    def adopt(self) -> None:
        """Have what stands in files that nobody has behind ours: no gateway may come again that takes them.

        After a crash in between both have it, which counts once: the ledger knows a sheet by its journal and key.

        Raises:
            OSError: the disk does not take it, and it stays where it is.
        """
        with self._turn:
            self._open()
            for path in sorted(self._folder.glob(f"{FILE}*")):
                left = None
                with suppress(OSError):  # one that cannot be had, as another user's, keeps none behind it
                    left = self._lock(path.name) if path.name in NAMES else None
                if left is None:
                    continue
                try:
                    self._copy(left)
                    os.ftruncate(left, 0)
                finally:
                    os.close(left)

    def _copy(self, left: int) -> None:
        size = os.fstat(left).st_size
        copied = 0
        try:
            os.lseek(self._file, self._end, os.SEEK_SET)  # all else is written with a position
            while copied < size:
                copied += os.sendfile(self._file, left, copied, size - copied)
            os.fdatasync(self._file)
        except OSError:
            os.ftruncate(self._file, self._end)
            raise
        self._end += size

    def append(self, batch: Batch) -> None:
        """Add a batch; when this returns it is on the disk.

        Raises:
            OSError: it is not; the file is as it was.
        """
        content = _encode(batch)
        data = HEAD.pack(MAGIC, len(content), zlib.crc32(content)) + content
        with self._turn:
            self._open()
            try:
                written = 0
                while written < len(data):
                    written += os.pwrite(self._file, data[written:], self._end + written)
                os.fdatasync(self._file)
            except OSError:
                os.ftruncate(self._file, self._end)
                raise
            self._end += len(data)

    def first(self) -> Frame | None:
        """The batch that has waited longest; None when nothing waits."""
        with self._turn:
            frame = self._valid_from(self._head)
            if frame is None:
                self._empty()
            return frame

    def drop(self, frame: Frame) -> None:
        """Forget the batch that `first` gave."""
        with self._turn:
            self._head = frame.end
            if self._head >= self._end:
                self._empty()

    def _empty(self) -> None:
        self._head = self._end = 0
        if self._file >= 0:
            os.ftruncate(self._file, 0)

    def _valid_from(self, position: int) -> Frame | None:
        """The first whole batch at or behind a position."""
        while 0 <= position < self._end:
            magic, length, checksum = HEAD.unpack(os.pread(self._file, HEAD.size, position).ljust(HEAD.size, b"\0"))
            if magic == MAGIC and length <= MAX_BATCH_BYTES:
                content = os.pread(self._file, length, position + HEAD.size)
                if len(content) == length and zlib.crc32(content) == checksum:
                    return Frame(_decode(content), position + HEAD.size + length)
            position = self._next_magic(position + 1)
        return None

    def _next_magic(self, position: int) -> int:
        """Where the next batch may begin; -1: nowhere."""
        while position < self._end:
            part = os.pread(self._file, 2**20, position)
            if (found := part.find(MAGIC)) >= 0:
                return position + found
            if len(part) < len(MAGIC):
                return -1
            position += len(part) - len(MAGIC) + 1
        return -1
