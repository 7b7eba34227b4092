"""Has anybody written into the SQLite file? A connection of its own that is asked in microseconds, without a thread."""

import sqlite3
from pathlib import Path

import sqlalchemy as sa

from gateway.database.engine import is_sqlite


class Witness:
    """Sees every commit of others, of this process and of any; for one thread, which it never makes wait.

    A question through the engine is some ten times as dear: several hops to the driver's thread and back.

    Args:
        path: of the file, which may come later.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._version = 0
        self._seen = 0

    def commits(self) -> int | None:
        """Another number than before if anybody may have committed since; None: it cannot be said now."""
        try:
            if self._connection is None:
                uri = f"{self._path.absolute().as_uri()}?mode=rw"  # makes no file: migrations do
                self._connection = sqlite3.connect(uri, timeout=0, isolation_level=None, uri=True)
                self._seen += 1  # its versions are its own, and it may be another file
            (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        except sqlite3.Error:
            self.close()
            return None
        self._seen += version != self._version
        self._version = version
        return self._seen

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def witness_of(url: sa.URL) -> Witness | None:
    """That of a database; None where there is none: on a server, in memory, or by a URL that says more than a path."""
    path = url.database
    if not is_sqlite(url) or url.query or not path or path == ":memory:":
        return None
    return Witness(Path(path))
