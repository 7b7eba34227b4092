"""A PostgreSQL server of the tests' own, on a unix socket in a temporary folder, from the distribution's package."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg

from tests.support.docker import skip_or_fail

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
"""Debian's place for them, by version."""
OWNERS = ("postgres", "nobody")
"""The server refuses to run as root; the first of these that exists runs it then."""
START_SECS = 40.0
LOOK_SECS = 0.05
CAREFREE = ("fsync=off", "full_page_writes=off", "autovacuum=off", "shared_buffers=16MB")
"""No test loses power, and each wants an answer at once."""


class PostgresServer:
    """A server that can be stopped, started again and frozen."""

    def __init__(self, programs: Path, folder: Path, owner: str | None) -> None:
        self._programs = programs
        self._folder = folder
        self._owner = owner
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = count()

    def make(self) -> None:
        """Make the files of a server without any."""
        command = ("initdb", "-D", "data", "-A", "trust", "-U", "gateway", "-E", "UTF8", "--locale=C", "--no-sync")
        subprocess.run(  # noqa: S603 -- a program of the distribution
            [self._programs / command[0], *command[1:]],
            cwd=self._folder,
            user=self._owner,
            extra_groups=[] if self._owner else None,
            check=True,
            stdout=subprocess.DEVNULL,
        )

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = [f"unix_socket_directories={self._folder}", "listen_addresses=", *CAREFREE]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 -- a program of the distribution
                [self._programs / "postgres", "-D", "data", *[word for option in options for word in ("-c", option)]],
                cwd=self._folder,
                user=self._owner,
                extra_groups=[] if self._owner else None,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_SECS
        while True:
            try:
                psycopg.connect(self.url("postgres")).close()
            except psycopg.OperationalError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise AssertionError((self._folder / "log").read_text()) from None
                time.sleep(LOOK_SECS)
            else:
                return

    def stop(self) -> None:
        """End it as a crash does: at once."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait()
            self._process = None

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Have it stand still: it takes no connection and answers none."""
        assert self._process is not None
        pid = self._process.pid
        members = [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
        for member in members:
            os.kill(member, signal.SIGSTOP)
        try:
            yield
        finally:
            for member in members:
                os.kill(member, signal.SIGCONT)

    def url(self, name: str) -> str:
        """Where the database of that name is."""
        return f"postgresql://gateway@/{name}?host={self._folder}"

    def new_database(self, template: str = "template0") -> str:
        """The URL of a database of the caller's own, like `template`."""
        name = f"test_{next(self._numbers)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'.encode())
        return self.url(name)


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A running server; where there is no PostgreSQL the test is skipped, or fails where CI is set."""
    if not PROGRAMS:
        skip_or_fail("there is no PostgreSQL server: apt-get install postgresql")
    names = {entry.pw_name for entry in pwd.getpwall()}
    owner = next(name for name in OWNERS if name in names) if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    server = PostgresServer(PROGRAMS[-1], folder, owner)
    try:
        if owner:
            shutil.chown(folder, owner)
        server.make()
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)
