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
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
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
    try:
        settings = pickle.loads(data)  # noqa: S301 -- our own child wrote it
    except Exception as error:  # whatever the new code has that this process does not
        raise UnreadableError(f"the supervisor is too old for the code as it is now: restart it ({error!r})") from error
    assert isinstance(settings, Settings)  # noqa: S101 -- for mypy
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
