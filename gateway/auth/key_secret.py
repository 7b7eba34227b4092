"""With what are API keys hashed where no KEY_HASH_SECRET is set? With a secret that was made once, and is kept."""

import contextlib
import os
import secrets
import stat
from pathlib import Path

FILE = "key-hash.secret"
MIN_BYTES = 32
MAX_BYTES = 64
"""BLAKE2b takes no longer key."""


class KeySecretError(Exception):
    """The secret's file cannot be used; the message is for the operator."""


def find_or_make(folder: Path) -> str:
    """The secret that lies in this folder, made if there is none; whoever comes first makes it for all.

    Without it no key that was ever made is known again, so it belongs into each backup beside the database. It is
    never changed, not even when it cannot be used. For the processes that start workers and write the database; a
    worker is handed it in its settings.

    Raises:
        KeySecretError: it cannot be read or made, others may read it, or it is not what was made here.
    """
    path = folder / FILE
    try:
        if not path.exists():
            _make(path)
        return _read(path)
    except OSError as error:
        raise KeySecretError(f"{path} cannot be used: {error.strerror}; or set KEY_HASH_SECRET") from error


def _make(path: Path) -> None:
    """Put a whole file there, or leave the one that somebody else has put there meanwhile."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{FILE}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        try:
            os.write(descriptor, secrets.token_hex(MAX_BYTES // 2).encode("ascii") + b"\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(draft)
    finally:
        draft.unlink()
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _read(path: Path) -> str:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
            raise KeySecretError(f"{path} must be a file of this user's own, mode 0600")
        data = os.read(descriptor, 2 * MAX_BYTES).strip()
    finally:
        os.close(descriptor)
    if not MIN_BYTES <= len(data) <= MAX_BYTES or not data.isascii():
        raise KeySecretError(f"{path} does not hold a secret of {MIN_BYTES} to {MAX_BYTES} bytes: restore it")
    return data.decode("ascii")
