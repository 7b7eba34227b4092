"""What runs in a demo? Child processes that end with it, whatever becomes of it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

END_SECS = 10.0
"""How long a child may take to end before it is killed."""
# Our end of the child's standard input closes when this process ends, even by SIGKILL; that ends the child.
TIED = (
    'exec 3<&0; "$@" 3<&- < /dev/null & child=$!; '
    "{ cat <&3; kill -TERM $child; } > /dev/null 2>&1 & watcher=$!; "
    "wait $child; status=$?; kill $watcher 2> /dev/null; exit $status"
)


class ChildError(Exception):
    """A child ended before it was ready; the message is what it said."""


@asynccontextmanager
async def child(
    command: Sequence[str], environment: Mapping[str, str], directory: Path
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a command until the scope ends: then it is asked to stop, and killed when it does not."""
    process = await asyncio.create_subprocess_exec(
        *("sh", "-c", TIED, "sh", *command),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=dict(environment),
        cwd=directory,
        start_new_session=True,  # a terminal's Ctrl-C is the demo's to answer
    )
    assert process.stdin is not None  # noqa: S101 -- for mypy: it is a pipe
    try:
        yield process
    finally:
        process.stdin.close()
        await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(END_SECS):
            await _read_away(process)
            await process.wait()
            return
    process.kill()
    await process.wait()


async def _read_away(process: asyncio.subprocess.Process) -> None:
    """A pipe that nobody reads would hold the child up."""
    async for _ in lines(process):
        pass


async def lines(process: asyncio.subprocess.Process) -> AsyncIterator[str]:
    """What a child prints, line by line, until it ends."""
    assert process.stdout is not None  # noqa: S101 -- for mypy: it is a pipe
    while line := await process.stdout.readline():
        yield line.decode(errors="replace").rstrip()


async def await_line(process: asyncio.subprocess.Process, start: str) -> str:
    """The first line that begins with `start`.

    Raises:
        ChildError: the child ended without printing one.
    """
    said = []
    async for line in lines(process):
        if line.startswith(start):
            return line
        said.append(line)
    raise ChildError("\n".join(said))
