"""Where is the gateway's supervisor, and what became of the last reload? Two files beside the limits' state."""

import contextlib
import fcntl
import os
import struct
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Self

import orjson

FLOCK = struct.Struct("hhqqi4x")
"""`struct flock` of 64-bit Linux: type, whence, start, length, pid; fcntl(2)."""
PREFIX = "gateway-"


class Outcome(StrEnum):
    """What became of a reload."""

    NONE = "none"
    RUNNING = "running"
    DONE = "done"
    REFUSED = "refused"
    """The settings will not do."""
    FAILED = "failed"
    """New workers did not come up."""


@dataclass(frozen=True, slots=True)
class Notice:
    """What a supervisor says of its reloads.

    Attributes:
        reloads: how many were begun since its start.
        outcome: of the last one.
        words: sentences for the operator about it.
    """

    reloads: int = 0
    outcome: Outcome = Outcome.NONE
    words: tuple[str, ...] = ()


class PidFile:
    """A supervisor's two files; a scope. The lock on the first says that the process lives, however it may end.

    Args:
        directory: LIMITER_PATH; made where there is none.
        port: that the gateway is bound to: gateways that share the directory are told apart by it.

    Raises:
        OSError: it cannot be written, or another gateway of that port lives.
    """

    def __init__(self, directory: Path, port: int) -> None:
        self._path = directory / f"{PREFIX}{port}.pid"
        self._notice = notice_of(self._path)

    def __enter__(self) -> Self:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.tell(Notice())
            os.ftruncate(self._file, 0)
            os.write(self._file, b"%d\n" % os.getpid())
        except OSError:
            os.close(self._file)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for path in (self._path, self._notice):
            path.unlink(missing_ok=True)
        os.close(self._file)

    def tell(self, notice: Notice) -> None:
        """Publish it, in one step."""
        draft = self._notice.with_suffix(".draft")
        draft.write_bytes(orjson.dumps(asdict(notice)))
        draft.replace(self._notice)


@dataclass(frozen=True, slots=True)
class Found:
    """A supervisor that lives.

    Attributes:
        pid: its number here; 0 when it lives in another namespace of processes, where no signal of ours reaches it.
        port: that the gateway is bound to.
        path: of the file that it has locked.
    """

    pid: int
    port: int
    path: Path

    def notice(self) -> Notice:
        """What it says of its reloads now.

        Raises:
            OSError: it has ended.
        """
        said = orjson.loads(notice_of(self.path).read_bytes())
        return Notice(said["reloads"], Outcome(said["outcome"]), tuple(said["words"]))


def find(directory: Path) -> list[Found]:
    """The supervisors that live and keep their files in a directory, by port.

    Raises:
        OSError: the directory or a file is another user's.
    """
    found = []
    for path in directory.glob(f"{PREFIX}*.pid"):
        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
            asked = FLOCK.pack(fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)
            kind, _, _, _, pid = FLOCK.unpack(fcntl.fcntl(file, fcntl.F_GETLK, asked))
            if kind != fcntl.F_UNLCK:
                found.append(Found(pid, int(path.stem.removeprefix(PREFIX)), path))
    return sorted(found, key=lambda one: one.port)


def notice_of(path: Path) -> Path:
    """Where the supervisor of that pid file says what became of its last reload."""
    return path.with_suffix(".reload")
