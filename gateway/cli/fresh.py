"""How are settings read anew while the gateway runs? By a fresh interpreter, with the code that new workers get."""

import asyncio
import os
import pickle
import sys
from collections.abc import Mapping
from typing import Any

import orjson

from gateway.settings import ConfigurationError, Settings, load

MISTAKEN = 3
"""Exit status when the settings will not do; standard error then has a line for each mistake."""
READ_SECS = 30.0
TOO_OLD = "the supervisor is too old for the code as it is now: restart it ({})"


class UnreadableError(Exception):
    """The settings cannot be had.

    Attributes:
        reasons: sentences for the operator.
    """

    def __init__(self, *reasons: str) -> None:
        self.reasons = reasons
        super().__init__("; ".join(reasons))


async def load_fresh(options: Mapping[str, Any]) -> Settings:
    """The settings as they are now, checked by the code as it is now.

    A setting that this process's code does not know is kept for the workers, which do.

    Args:
        options: settings from the command line.

    Raises:
        UnreadableError: they will not do, or the code cannot be loaded.
    """
    command = [sys.executable, "-m", "gateway.cli.fresh", orjson.dumps(dict(options)).decode()]
    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
    except OSError as error:  # no descriptor, process or memory for it, or no such interpreter any more
        raise UnreadableError(f"no interpreter can be started that would read the settings: {error}") from error
    try:
        async with asyncio.timeout(READ_SECS):
            data, errors = await process.communicate()
    except TimeoutError:
        raise UnreadableError(f"the settings were not read within {READ_SECS:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
    lines = errors.decode(errors="replace").splitlines()
    if process.returncode == MISTAKEN:
        raise UnreadableError(*lines)
    if process.returncode != 0:
        why = lines[-1] if lines else f"status {process.returncode}"
        raise UnreadableError(f"the settings cannot be read by the code as it is now: {why}")
    return understood(data)


def understood(data: bytes) -> Settings:
    """The settings that newer code has pickled; whatever this process asks them for is there.

    Raises:
        UnreadableError: the newer code has what this process does not know, or has not what it needs.
    """
    try:
        settings = pickle.loads(data)  # noqa: S301 -- our own child wrote it
    except Exception as error:  # whatever the new code has that this process does not
        raise UnreadableError(TOO_OLD.format(repr(error))) from error
    if not isinstance(settings, Settings):
        raise UnreadableError(TOO_OLD.format("it gave no settings that are known here"))
    gone = sorted(Settings.model_fields.keys() - vars(settings).keys())
    if gone:  # renamed or dropped: to ask for one would be an AttributeError, now or when the gateway ends
        raise UnreadableError(TOO_OLD.format(f"{', '.join(gone)} is gone"))
    return settings


def main(options: str) -> int:
    """Read the settings and write them to standard output, pickled."""
    try:
        settings = load(**orjson.loads(options))
    except ConfigurationError as error:
        sys.stderr.write("\n".join(error.mistakes))
        return MISTAKEN
    # Not by its stream: the pickle is bytes, and whatever a library prints must not stand among them.
    os.write(sys.stdout.fileno(), pickle.dumps(settings))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
