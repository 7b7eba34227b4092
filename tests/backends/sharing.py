"""How do processes share a board in a test? As workers do: fresh interpreters that inherit its descriptor.

`python -m tests.backends.sharing PAGE ROW` is one of them: it reads commands, a JSON list in each line, and answers
each with a line.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from gateway.backends.board import Board
from gateway.backends.board_layout import Circuits
from gateway.backends.breaker import Breaker
from gateway.backends.breaker_settings import BreakerSettings
from gateway.backends.health import BackendHealth, State
from gateway.backends.reasons import Reason
from gateway.core.clock import SystemClock
from gateway.core.fleet import Backend

FLEET = (Backend("chat0", "http://chat0:8000"), Backend("chat1", "http://chat1:8000"))
ROOT = Path(__file__).parents[2]
HEALTHY = BackendHealth(State.HEALTHY, Reason.OK, since=0.0)
DIED = 9


def numbered(number: int) -> BackendHealth:
    """A verdict that says the same number in several places, and is longer for some numbers than for others."""
    return replace(HEALTHY, since=float(number), max_model_len=number, models=(str(number),) * (1 + number % 300))


def is_whole(health: BackendHealth) -> bool:
    """Whether it is as `numbered` made it."""
    return health == numbered(int(health.since))


class Word:
    """Stands in for one kind of a circuit's words; the process dies when it has stored so many words as are left."""

    def __init__(self, words: Any, left: list[int]) -> None:
        self._words = words
        self._left = left

    def __getitem__(self, index: int) -> Any:
        return self._words[index]

    def __setitem__(self, index: int, value: Any) -> None:
        if not self._left[0]:
            os._exit(DIED)
        self._left[0] -= 1
        self._words[index] = value


class CountingBoard(Board):
    """A board that knows how often it was locked."""

    granted = 0

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[bool]:
        with super().exclusive() as held:
            self.granted += held
            yield held


class Commands:
    """What a process can be told to do; each method's result is its answer."""

    def __init__(self, page: int, row: int) -> None:
        self.board = CountingBoard(FLEET, page, row)
        self.breaker = self.new_breaker(5, 30.0)

    def new_breaker(self, threshold: int, pause: float) -> Breaker:
        settings = BreakerSettings(circuit_failure_threshold=threshold, circuit_recovery_timeout=pause)
        return Breaker(self.board, settings, SystemClock())

    def use(self, threshold: int, pause: float) -> None:
        self.breaker = self.new_breaker(threshold, pause)

    def take_trials(self, times: int, at: float) -> int:
        """How often the trial was granted; all begin at the same moment."""
        while time.monotonic() < at:
            pass
        return sum(bool(self.breaker.take_trial(0)) for _ in range(times))

    def call(self, method: str, *arguments: Any) -> Any:
        return getattr(self.breaker, method)(*arguments)

    def fail(self, times: int) -> int:
        """How many failures were counted: those for which the lock was to be had."""
        before = self.board.granted
        for _ in range(times):
            self.breaker.failed(0)
        return self.board.granted - before

    def hold(self) -> None:
        """Enter and stay there: the answer is given from within, and the next command is read there."""
        with self.board.exclusive() as held:
            answer(held)
            sys.stdin.buffer.readline()

    def die_while(self, stores: int, method: str, named: dict[str, Any]) -> int:
        """How a process ended that was to do that and die after so many stores: `DIED` if it had more to store."""
        child = os.fork()
        if not child:
            left = [stores]
            self.breaker._words = Circuits(*(Word(words, left) for words in self.board.circuits))  # type: ignore[arg-type]  # they do as words
            getattr(self.breaker, method)(0, **named)
            os._exit(0)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    def publish_for_ever(self) -> None:
        answer(None)
        number = 0
        while True:
            number += 1
            self.board.publish("chat0", numbered(number))

    def read(self, different: int) -> int:
        """How many verdicts nobody wrote were among so many different ones."""
        seen: set[float] = set()
        torn = 0
        while len(seen) < different:
            health = self.board.verdict("chat0")
            if health is not None and health.since not in seen:
                seen.add(health.since)
                torn += not is_whole(health)
        return torn

    def begin_and_end(self, times: int) -> None:
        for _ in range(times):
            self.board.begin(0)
            self.board.begin(0)
            self.board.end(0)


def answer(result: Any) -> None:
    sys.stdout.buffer.write(orjson.dumps(result) + b"\n")
    sys.stdout.buffer.flush()


class Process:
    """One process that shares the board of that descriptor."""

    def __init__(self, page: int, row: int) -> None:
        words = [sys.executable, "-m", "tests.backends.sharing", str(page), str(row)]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(words, cwd=ROOT, pass_fds=(page,), stdin=pipe, stdout=pipe)  # noqa: S603 -- our own

    def start(self, name: str, *arguments: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(orjson.dumps([name, *arguments]) + b"\n")
        self._process.stdin.flush()

    def result(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the process has ended"
        return orjson.loads(line)

    def do(self, name: str, *arguments: Any) -> Any:
        self.start(name, *arguments)
        return self.result()

    def stop(self) -> None:
        """Let it stand still, and return when it does."""
        self._process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WNOWAIT)

    def go_on(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """As kill -9 does; returns when it is gone."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


@contextlib.contextmanager
def crew(page: int, count: int) -> Iterator[list[Process]]:
    """So many processes with a row each."""
    processes = [Process(page, row) for row in range(count)]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()


def main() -> None:
    commands = Commands(int(sys.argv[1]), int(sys.argv[2]))
    for line in sys.stdin.buffer:
        name, *arguments = orjson.loads(line)
        answer(getattr(commands, name)(*arguments))


if __name__ == "__main__":
    main()
