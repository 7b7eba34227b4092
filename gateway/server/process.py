"""How does a child of the supervisor begin and end? As a fresh interpreter, with a channel, that is told its work."""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from typing import Self


class ChildProcess:
    """One process from its birth on, and our end of the channel to it; a scope that leaves nothing running.

    No event loop is needed until somebody waits for its end.

    Args:
        module: what it runs; its arguments are the inherited descriptor of the channel, and `arguments`.
        arguments: further ones.

    Raises:
        OSError: there is no process, memory or descriptor for it.
    """

    def __init__(self, module: str, *arguments: str) -> None:
        with contextlib.ExitStack() as undo:
            ours, theirs = socket.socketpair()
            self.channel = undo.enter_context(ours)
            with theirs:
                self._process = subprocess.Popen(  # noqa: S603 -- this interpreter, our own module
                    [sys.executable, "-m", module, str(theirs.fileno()), *arguments],
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,  # a terminal's Ctrl-C is the supervisor's to answer
                )
            undo.callback(self._end)
            self._watched = os.pidfd_open(self._process.pid)
            undo.callback(os.close, self._watched)
            self._undo = undo.pop_all()
        self.pid = self._process.pid
        self.signal = self._process.send_signal
        self.terminate = self._process.terminate
        self.kill = self._process.kill

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()

    async def wait(self) -> int:
        """Wait for its end: the exit status; negative: the signal that killed it."""
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        loop.add_reader(self._watched, ended.set)  # readable from the process's end on: pidfd_open(2)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(self._watched)
        return self._process.wait()

    def _end(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
            self._process.wait()


class WorkerProcess(ChildProcess):
    """A worker. It loads the application at once and then waits for its assignment.

    The first one does so while its supervisor still reads the settings.

    Args:
        factory: `module:callable`, whose module the worker loads.
    """

    def __init__(self, factory: str) -> None:
        super().__init__("gateway.server.worker", factory)
