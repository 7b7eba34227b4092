"""What time of day do a test's processes see? As many seconds off as a file says, which the test writes."""

import os
import shutil
import struct
import subprocess
from datetime import datetime
from pathlib import Path

import pytest

from gateway.core.clock import SystemClock

INSIDE = Path(__file__).parent.parent / "chaos" / "inside"
"""On the PYTHONPATH of a Python process, with WALL_CLOCK; others are started with `command`."""
SOURCE = Path(__file__).parent / "wall.c"


class Wall:
    """The clock on the wall of some processes; a Python one is told of it by `environment`."""

    def __init__(self, file: Path) -> None:
        self.file = file
        file.write_bytes(struct.pack("=d", 0.0))

    @property
    def environment(self) -> dict[str, object]:
        return {"PYTHONPATH": INSIDE, "WALL_CLOCK": self.file}

    def turn(self, seconds: float) -> None:
        """It is so many seconds ahead of the machine's, from now on."""
        with self.file.open("r+b") as opened:
            opened.write(struct.pack("=d", seconds))

    def set(self, moment: datetime) -> None:
        """It is that moment now."""
        self.turn(moment.timestamp() - SystemClock().wall())

    def command(self, program: str) -> tuple[str, ...]:
        """What starts a program of C with this clock. Without a compiler the test is skipped on a laptop."""
        library = self.file.with_suffix(".so")
        compiler = shutil.which("cc")
        if compiler is None:
            reason = "no C compiler is installed: `apt-get install gcc libc6-dev`"
            if os.environ.get("CI") == "true":  # noqa: TID251 -- as in tests/store/valkey/server.py
                pytest.fail(reason)
            pytest.skip(reason)
        subprocess.run([compiler, "-shared", "-fPIC", "-o", library, SOURCE], check=True)  # noqa: S603 -- our source
        return ("env", f"LD_PRELOAD={library}", f"WALL_CLOCK={self.file}", program)
