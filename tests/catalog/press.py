"""Who publishes, or reads, in a process of its own? A child that does what a test tells it, and can be killed."""

import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from gateway.catalog.publisher import Publisher
from gateway.catalog.reader import Catalog
from gateway.catalog.settings import CatalogSettings
from gateway.core.clock import SystemClock

PATIENCE_SECS = 30.0


class Child:
    """A process that holds one object on one folder, whose methods are called from here.

    Attributes:
        pid: the process's.
    """

    def __init__(self, kind: str, folder: Path) -> None:
        context = multiprocessing.get_context("spawn")  # LMDB forbids what a fork would do
        self._pipe, end = context.Pipe()
        self._process = context.Process(target=_serve, args=(kind, folder, end), daemon=True)
        self._process.start()
        end.close()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def __call__(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """What the method returns; raises what it raises, and EOFError when the process dies over it."""
        self._pipe.send((name, args, kwargs))
        assert self._pipe.poll(PATIENCE_SECS), "the child does not answer"
        raised, answer = self._pipe.recv()
        if raised:
            raise answer
        return answer

    def kill(self) -> None:
        """End it at once."""
        if self._process.is_alive():
            os.kill(self.pid, signal.SIGCONT)
            self._process.kill()
        self._process.join(PATIENCE_SECS)
        self._pipe.close()


@contextmanager
def child(kind: str, folder: Path) -> Iterator[Child]:
    """A `publisher` or a `reader` on this folder, until the scope is left."""
    made = Child(kind, folder)
    try:
        yield made
    finally:
        made.kill()


class Press(Publisher):
    """A publisher that also does wrong when it is told to."""

    def die_in_a_transaction(self, record: bytes) -> None:
        """Killed with a transaction open that has changed something."""
        assert self._environment is not None
        tree = self._environment.begin(None, None, True)  # noqa: FBT003 -- LMDB's
        tree.put(record, b"half of a thought" * 1000)
        os.kill(os.getpid(), signal.SIGKILL)

    def plant(self, record: bytes, value: bytes) -> None:
        """Write what no publisher writes."""
        assert self._environment is not None
        with self._environment.begin(None, None, True) as tree:  # noqa: FBT003 -- LMDB's
            tree.put(record, value)


class PinningCatalog(Catalog):
    """A reader that can be made to do what none of ours does: to keep a transaction open."""

    def pin(self) -> None:
        """Begin to read, and do not end it."""
        environment = self._current()
        assert environment is not None
        self._pin = environment.begin(None, None, False)  # noqa: FBT003 -- LMDB's


def _serve(kind: str, folder: Path, pipe: Connection) -> None:
    clock = SystemClock()
    served = Press(folder, clock) if kind == "publisher" else PinningCatalog(folder, CatalogSettings(), clock)
    while True:
        try:
            name, args, kwargs = pipe.recv()
        except EOFError:
            return
        try:
            answer = False, getattr(served, name)(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 -- carried to the test
            answer = True, error
        pipe.send(answer)
