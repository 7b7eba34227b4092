"""How do programs start and end here? On their cores, in their folder, and never longer than the run."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.accounting import tree
from bench.cores import hurry, pinned

STOP_SECS = 6.0
"""How long a program may take to end before it is killed."""
OPEN_FILES = 20_000


def base_environment() -> dict[str, str]:
    """What every child gets of ours: where programs are."""
    return {"PATH": os.environ["PATH"]}  # noqa: TID251 -- a child needs it, and it decides nothing here


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def finished(argv: Sequence[str | Path]) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; a failure is the caller's to read."""
    return subprocess.run(argv, capture_output=True, text=True, check=False)  # noqa: S603 -- programs of this bench


@contextmanager
def running(
    argv: Sequence[str], *, cores: frozenset[int], folder: Path, log: Path, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program until the scope ends; then it and whatever it has started end.

    Args:
        argv: the program and its arguments.
        cores: where it runs; empty: anywhere.
        folder: its working directory.
        log: where its output goes.
        environment: added to `base_environment`.
    """
    with log.open("ab") as output, pinned(cores):
        child = subprocess.Popen(  # noqa: S603 -- the peers and instruments of this bench
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=folder,
            env={**base_environment(), **environment},
            start_new_session=True,  # a terminal's Ctrl-C is the harness's to answer
        )
    hurry(child.pid)
    try:
        yield child
    finally:
        _end(child)


def _end(child: subprocess.Popen[bytes]) -> None:
    """Ask, wait, and kill what is left of the tree that was started here."""
    born = {pid: _born(pid) for pid in tree(child.pid)}
    child.send_signal(signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        child.wait(STOP_SECS)
    for pid, birth in born.items():
        if birth and birth == _born(pid):  # else its number is somebody else's by now
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    child.wait()


def _born(pid: int) -> str:
    """When a process was started, in ticks since the boot; empty when there is none."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    return ""


def poll(seconds: float, pause: float = 0.01) -> Iterator[None]:
    """Come round every `pause` seconds, for so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield
        time.sleep(pause)
