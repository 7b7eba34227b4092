"""Where do the instruments come from? Three C files, compiled into the run's own folder."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from bench.processes import finished

SOURCES = Path(__file__).parent
FLAGS = ("-O2", "-Wall", "-Wextra", "-Werror")


class BuildError(Exception):
    """The instruments cannot be compiled; the message says why."""


@dataclass(frozen=True)
class Instruments:
    """The compiled programs."""

    mock: Path
    sseload: Path
    calib: Path


def compiler() -> str | None:
    """The C compiler of this machine, or None."""
    return shutil.which("cc") or shutil.which("gcc")


def build(folder: Path) -> Instruments:
    """Compile into `folder`.

    Raises:
        BuildError: there is no compiler, or it refuses.
    """
    command = compiler()
    if command is None:
        raise BuildError("there is no C compiler (Debian: apt-get install gcc libc6-dev)")
    built = Instruments(folder / "mock", folder / "sseload", folder / "calib")
    for program in (built.mock, built.sseload, built.calib):
        source = SOURCES / f"{program.name}.c"
        done = finished([command, *FLAGS, "-o", program, source])
        if done.returncode:
            raise BuildError(f"{source.name} does not compile:\n{done.stderr}")
    return built
