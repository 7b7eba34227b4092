"""How does a test measure without being held up? In a process of its own, which is killed when it takes too long."""

import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import orjson

from tests.guard.measure import PATIENCE_SECS

ROOT = Path(__file__).parents[2]
GRACE_SECS = 10.0
"""For the process's start, before its patience begins, and to show where it hangs; then it is killed."""
SHOWN_LINES = 60
ON_TMPFS = "/dev/shm"  # noqa: S108 -- a folder of its own is made in it
"""As in production, and short: unix sockets stand in the folder, for which a test's own is often too long."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a measurement printed.

    Attributes:
        figures: by their names in `budgets`.
        dearest: the functions with the most steps, or the lines that hold the most; a line each.
    """

    figures: dict[str, float]
    dearest: str


class NotMeasuredError(Exception):
    """A measurement failed or did not end; the text has what it said on stderr."""


@cache
def measured(
    kind: str,
    change: str | None = None,
    *,
    again: int = 0,
    patience: float = PATIENCE_SECS,
    grace: float = GRACE_SECS,
) -> Report:
    """One measurement; one that was taken already is not taken again.

    Args:
        kind: `whole`, `stream`, `event` or `held`.
        change: the name of one in `changes`.
        again: another number, another measurement of the same.
        patience: seconds after which it gives itself up.
        grace: seconds beyond these after which it is killed.

    Raises:
        NotMeasuredError: it failed, or did not end in time.
    """
    del again
    command = [sys.executable, "-m", "tests.guard.measure", kind, "--patience", str(patience)]
    if change is not None:
        command += ["--change", change]
    with TemporaryDirectory(prefix="guard-", dir=ON_TMPFS) as folder:
        # The command is our own.
        process = subprocess.Popen(  # noqa: S603 -- see above
            [*command, "--folder", folder], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        with process:
            try:
                printed, said = process.communicate(timeout=patience + grace)
            except subprocess.TimeoutExpired:
                process.kill()
                printed, said = process.communicate()
    if process.returncode:
        end = b"\n".join(said.splitlines()[-SHOWN_LINES:]).decode(errors="replace")
        raise NotMeasuredError(f"{' '.join(command[1:])} ended with {process.returncode} and said\n{end}")
    return Report(**orjson.loads(printed))
