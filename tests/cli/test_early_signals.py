"""A signal that comes before there is anybody to drain ends the start: with 0, without a word, leaving nobody."""

import signal
import subprocess
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from tests.server.supervised import ROOT, await_that, command, environment

ENDING = [signal.SIGTERM, signal.SIGINT]
MOMENTS = range(1, 1000, 100)
"""Milliseconds after the process answers signals; a start takes about 700."""


def caught(pid: int, number: signal.Signals) -> bool:
    """Whether the process has a handler for the signal; until then it is still the interpreter that starts."""
    status = Path(f"/proc/{pid}/status").read_text()
    mask = int(next(line for line in status.splitlines() if line.startswith("SigCgt")).split()[1], 16)
    return bool(mask >> (number - 1) & 1)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def gone(pids: list[int]) -> bool:
    return not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_at_any_moment_of_the_start_is_a_clean_end(number: signal.Signals, tmp_path: Path) -> None:
    for moment in MOMENTS:
        with (
            subprocess.Popen(  # noqa: S603 -- this interpreter, our own module
                command("build"), cwd=ROOT, env=environment(LIMITER_PATH=str(tmp_path)[:70]), stderr=subprocess.PIPE
            ) as process
        ):
            await_that(partial(caught, process.pid, signal.SIGTERM))
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(moment / 1000)
            born = children(process.pid)
            process.send_signal(number)
            _, errors = process.communicate(timeout=30)
            assert process.returncode == 0, errors.decode()
            assert b"Traceback" not in errors
            assert b"worker_died" not in errors
            await_that(partial(gone, born))


def test_a_second_signal_at_the_very_end_changes_nothing(tmp_path: Path) -> None:
    for _ in range(5):
        with (
            subprocess.Popen(  # noqa: S603 -- this interpreter, our own module
                command("build"), cwd=ROOT, env=environment(LIMITER_PATH=str(tmp_path)[:70]), stderr=subprocess.PIPE
            ) as process
        ):
            assert process.stderr
            assert any(b'"listening"' in line for line in process.stderr)
            process.send_signal(signal.SIGINT)
            while process.poll() is None:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(0.001)
                process.send_signal(signal.SIGINT)
            assert process.returncode == 0
            assert b"Traceback" not in process.stderr.read()
