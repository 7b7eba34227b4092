"""Lines leave in order through a thread; a reader that does not read costs lines, never a request."""

import contextlib
import fcntl
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from gateway.observability import log_writer
from gateway.observability.log_writer import LogWriter

LINE = b"x" * 999 + b"\n"


class Pipe(NamedTuple):
    """Both ends of a pipe; it takes 64 KiB that nobody has read."""

    reader: int
    writer: int

    def read(self, size: int) -> bytes:
        """The next `size` bytes."""
        data = b""
        while len(data) < size:
            part = os.read(self.reader, size - len(data))
            assert part, "the pipe was closed"
            data += part
        return data


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 65536)
    yield Pipe(reader, writer)
    os.close(writer)
    os.close(reader)


class Drops:
    """How many lines were given up."""

    def __init__(self) -> None:
        self.count = 0
        self.some = threading.Event()

    def __call__(self) -> None:
        self.count += 1
        self.some.set()


def wait_until(condition: Callable[[], bool]) -> None:
    nothing = threading.Event()
    for _ in range(1000):
        if condition():
            return
        nothing.wait(0.01)
    raise AssertionError


def test_lines_leave_in_the_order_they_came(pipe: Pipe) -> None:
    writer, drops = LogWriter(pipe.writer, Drops()), 0
    lines = [b"line %d\n" % number for number in range(500)]
    for line in lines:
        writer.write(line)
    assert pipe.read(len(b"".join(lines))) == b"".join(lines)
    writer.write(b"later\n")
    assert pipe.read(6) == b"later\n"
    writer.close()
    assert drops == 0


def test_closing_writes_what_is_left(pipe: Pipe) -> None:
    writer = LogWriter(pipe.writer, Drops())
    writer.write(b"the last words\n")
    writer.close()
    assert pipe.read(15) == b"the last words\n"
    assert not writer._thread.is_alive()


def test_closing_a_writer_that_wrote_nothing_is_quick(pipe: Pipe) -> None:
    writer = LogWriter(pipe.writer, Drops())
    writer.close()
    assert not writer._thread.is_alive()


def test_a_reader_that_does_not_read_blocks_nobody_and_what_is_lost_is_counted(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_writer, "MAX_BUFFERED_BYTES", 100_000)
    drops = Drops()
    writer = LogWriter(pipe.writer, drops)
    for _ in range(200):
        writer.write(LINE)
    assert drops.count == 100  # what the thread has in hand counts as held until it is written
    assert pipe.read(100_000) == LINE * 100
    wait_until(lambda: writer._size == 0)
    writer.write(LINE)
    assert pipe.read(1000) == LINE
    assert drops.count == 100
    writer.close()


def test_closing_does_not_wait_for_ever_for_a_reader_that_does_not_read(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_writer, "CLOSE_SECS", 0.05)
    writer = LogWriter(pipe.writer, Drops())
    for _ in range(100):
        writer.write(LINE)
    writer.close()
    assert writer._thread.is_alive()
    assert pipe.read(100_000) == LINE * 100
    writer._thread.join(30)
    assert not writer._thread.is_alive()


def test_a_pipe_that_does_not_block_is_tried_again(pipe: Pipe) -> None:
    os.set_blocking(pipe.writer, False)
    drops = Drops()
    writer = LogWriter(pipe.writer, drops)
    for _ in range(200):
        writer.write(LINE)
    assert pipe.read(200_000) == LINE * 200
    writer.close()
    assert drops.count == 0


@pytest.mark.parametrize(
    ("path", "mode"), [("/dev/full", os.O_WRONLY), ("/dev/null", os.O_RDONLY)], ids=["full", "read only"]
)
def test_lines_that_a_descriptor_does_not_take_are_counted(path: str, mode: int) -> None:
    drops = Drops()
    descriptor = os.open(path, mode)
    writer = LogWriter(descriptor, drops)
    for _ in range(3):
        writer.write(b"lost\n")
    writer.close()
    os.close(descriptor)
    assert drops.count == 3
    assert writer._size == 0


def test_a_line_that_comes_while_others_are_written_is_not_left_behind() -> None:
    drops = Drops()

    def once_more() -> None:
        drops()
        if drops.count == 1:
            writer.write(b"again\n")

    descriptor = os.open("/dev/full", os.O_WRONLY)
    writer = LogWriter(descriptor, once_more)
    writer.write(b"lost\n")
    wait_until(lambda: drops.count == 2)
    assert writer._size == 0  # it is counted where nobody has to write or close once more
    writer.close()
    os.close(descriptor)
    assert drops.count == 2


WORKER = """
import sys
from gateway.observability.log_writer import LogWriter
name = sys.argv[1].encode()
writer = LogWriter(1, lambda: None)
for number in range(600):
    writer.write(b"%b %d %b\\n" % (name, number, name * 400))
sys.stderr.write("ready")
sys.stderr.flush()
writer.close()
"""


def shared(pipe: Pipe, name: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(  # noqa: S603 -- this interpreter
        [sys.executable, "-c", WORKER, name], stdout=pipe.writer, stderr=subprocess.PIPE
    )


def test_workers_that_share_a_pipe_do_not_break_into_each_others_lines(pipe: Pipe) -> None:
    with contextlib.ExitStack() as stack:
        workers = [stack.enter_context(shared(pipe, name)) for name in ("a", "b", "c")]
        for worker in workers:
            assert worker.stderr is not None
            assert worker.stderr.read(5) == b"ready"  # from here on all of them wait for the reader
        data = b""
        while data.count(b"\n") < 3 * 600:
            data += os.read(pipe.reader, 4096)
    assert [worker.returncode for worker in workers] == [0, 0, 0]
    seen: dict[bytes, list[int]] = {}
    for line in data.splitlines():
        name, number, rest = line.split(b" ")
        assert rest == name * 400
        seen.setdefault(name, []).append(int(number))
    assert seen == {name: list(range(600)) for name in (b"a", b"b", b"c")}
