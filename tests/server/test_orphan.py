"""A worker whose supervisor was killed ends, whatever its loop does."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.server.supervised import ROOT, await_that

PATIENCE = 0.2


@contextmanager
def watched(then: str, patience: float) -> Iterator[tuple[socket.socket, subprocess.Popen[str]]]:
    """Our end of a channel, and a process at the other end: what it does once it has heard of us."""
    ours, theirs = socket.socketpair()
    code = (
        "import faulthandler, socket, sys\n"
        "from gateway.server.orphan import end_if_orphaned\n"
        "channel = socket.socket(fileno=int(sys.argv[1]))\n"
        f"end_if_orphaned(channel, {patience})\n"
        "channel.sendall(b'watched')\n"
        "channel.recv(1)\n"
        f"{then}\n"
    )
    with (
        ours,
        theirs,
        subprocess.Popen(  # noqa: S603 -- this interpreter, our own module
            [sys.executable, "-c", code, str(theirs.fileno())],
            cwd=ROOT,
            pass_fds=(theirs.fileno(),),
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        theirs.close()
        try:
            assert ours.recv(100) == b"watched"
            yield ours, process
        finally:
            process.kill()


def test_one_that_stands_still_ends_with_its_stacks_when_its_time_is_over() -> None:
    with watched("while True: pass", PATIENCE) as (channel, process):
        channel.close()
        assert process.wait(30) == 1
        assert process.stderr is not None
        told = process.stderr.read()
    assert "Timeout (0:00:00.200000)!" in told
    assert 'File "<string>", line 7 in <module>' in told


def test_one_whose_supervisor_lives_goes_on() -> None:
    with watched("channel.recv(1)", 0.001) as (channel, process):
        channel.sendall(b"!")  # a word is no death
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(PATIENCE)
        channel.close()
        await_that(lambda: process.poll() is not None)
        assert process.returncode in {0, 1}  # by its own end or by ours, whichever was first
