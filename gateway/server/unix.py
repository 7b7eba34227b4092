"""How does a process answer HTTP for others of its host alone? uvicorn on a unix socket that only this user opens."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Generator
from pathlib import Path

import uvicorn

from gateway.core.asgi import ASGIApp

BACKLOG = 256
DIRECTORY_MODE = 0o700
SOCKET_MODE = 0o600
FINISH_SECS = 2
"""How long requests may take to finish when all is to end."""
KEEPALIVE_SECS = 5


class UnixServer(uvicorn.Server):
    """A server at a path, over whoever answered there before; one that is replaced finishes what it has.

    Args:
        app: the ASGI application, which needs no lifespan.
        path: of the socket, of at most 103 bytes; its folder is made if need be.
        on_started: called when it listens.
    """

    def __init__(self, app: ASGIApp, path: Path, on_started: Callable[[], None]) -> None:
        config = uvicorn.Config(
            app,
            http="httptools",
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=KEEPALIVE_SECS,
            timeout_graceful_shutdown=FINISH_SECS,
        )
        super().__init__(config)
        self._path = path
        self._on_started = on_started
        self._identity: tuple[int, int] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002 -- uvicorn's
        """Listen, and say so."""
        await super().startup([])  # it would listen by what is for TCP
        self.servers.append(
            await asyncio.get_running_loop().create_unix_server(self._make_protocol, sock=self._bound())
        )
        self._on_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish what there is, and leave no path behind, unless another one answers there by now."""
        with contextlib.suppress(OSError):
            found = self._path.lstat()
            if (found.st_dev, found.st_ino) == self._identity:
                self._path.unlink()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Signals are the caller's, who sets `should_exit`."""
        yield

    def _bound(self) -> socket.socket:
        """A socket at the path: bound beside it and renamed over, so that at no moment nobody answers there."""
        self._path.parent.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        beside = self._path.with_name(f"{self._path.name}.new")
        beside.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        listener.bind(str(beside))
        beside.chmod(SOCKET_MODE)
        listener.listen(BACKLOG)
        found = beside.lstat()
        self._identity = (found.st_dev, found.st_ino)
        beside.replace(self._path)
        return listener

    def _make_protocol(self) -> asyncio.Protocol:
        maker: Callable[..., asyncio.Protocol] = self.config.http_protocol_class
        return maker(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)
