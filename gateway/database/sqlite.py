"""How does a connection to SQLite end? With its transaction rolled back, whatever somebody still holds of it."""

import sqlite3
import threading
from contextlib import suppress
from typing import Any

STEPS = 200_000
"""Between two looks whether a statement is still wanted, in steps of SQLite's machine; about 10 ms of one."""


class Connection(sqlite3.Connection):
    """A connection whose lock ends with it.

    SQLite keeps a connection that is closed under an unfinished statement, and with it the transaction and the one lock
    of the file, until the statement's cursor is collected: seconds, where a cancelled task's traceback holds it.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 -- sqlite3's own
        super().__init__(*args, **kwargs)
        self._given_up = threading.Event()
        self.set_progress_handler(self._given_up.is_set, STEPS)

    def interrupt(self) -> None:
        """Have what runs fail, and nothing that `close` does: SQLite's own interrupt would hit its rollback too."""
        self._given_up.set()

    def close(self) -> None:
        """Roll back, and let go of the file."""
        self._given_up.clear()
        with suppress(sqlite3.Error):  # closed already, or spoilt beyond a rollback
            self.rollback()
        super().close()
