"""How does the process live? Sockets, uvicorn, the ready line, and vLLM's two ways of stopping."""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Iterator, Sequence

import uvicorn
from starlette.types import ASGIApp

from gateway.simulator import argv as command_line
from gateway.simulator.app import App
from gateway.simulator.argv import Options
from gateway.simulator.control import Control
from gateway.simulator.engine import Engine
from gateway.simulator.faults import Faults
from gateway.simulator.ledger import Ledger
from gateway.simulator.metrics import Metrics
from gateway.simulator.service import Service
from gateway.simulator.transport import Protocol

_BACKLOG = 2048


def run(argv: Sequence[str]) -> int:
    """Serve until a signal says stop; give back the exit status.

    Raises:
        SystemExit: with status 2 where vLLM's parser would refuse an argument.
    """
    options = command_line.parse(argv, os.environ)  # noqa: TID251 -- a process of its own, which knows no settings room
    with asyncio.Runner(loop_factory=_new_loop) as runner:
        return runner.run(Process(options).serve())


def _new_loop() -> asyncio.AbstractEventLoop:
    import uvloop  # noqa: PLC0415 -- not needed to read a command line

    return uvloop.new_event_loop()


class Process:
    """One simulated server and its control port."""

    def __init__(self, options: Options) -> None:
        metrics = Metrics(options.served[0])
        self._options = options
        self._engine = Engine(
            metrics,
            pace=options.pace,
            max_num_seqs=options.max_num_seqs,
            max_queued=options.max_num_queued,
            by_priority=options.priority_policy,
            seed=options.seed,
        )
        metrics.watch(self._engine)
        self._service = Service(options, self._engine, Ledger(), metrics)
        self._faults = Faults()

    async def serve(self) -> int:
        """Listen, say so on stdout, and serve until told to stop."""
        options = self._options
        config = _config(App(self._service, self._faults), options.http_keep_alive)
        door = Door(_Server(config), options.host, options.port)
        control = await self._serve_control(door)
        told = _told_to_stop()
        await door.start()
        print(_ready_line(door.url, control), flush=True)  # noqa: T201 -- whoever started the process waits for this line
        stopping = asyncio.create_task(self._stop_when(told, door))
        await door.serve()
        stopping.cancel()
        return 0

    async def _serve_control(self, door: "Door") -> str | None:
        if self._options.control_port is None:
            return None
        server = _Server(_config(Control(self._service, self._faults, door).app(), 5))
        bound = _bound(self._options.control_host, self._options.control_port, share=False)
        server.config.load()
        server.lifespan = server.config.lifespan_class(server.config)
        await server.startup(sockets=[bound])
        return _url(bound)

    async def _stop_when(self, told: asyncio.Event, door: "Door") -> None:
        """Stop as vLLM does.

        Without --shutdown-timeout everything that runs is aborted. With it, running requests may finish and new ones
        get a 500, while /health goes on saying 200; what is left when the time is over never gets another byte, and
        holds the process up until its client leaves.
        """
        await told.wait()
        self._engine.draining = True
        if self._options.shutdown_timeout <= 0:
            self._engine.finish_all("abort")
        else:
            try:
                async with asyncio.timeout(self._options.shutdown_timeout):
                    await self._engine.idle()
            except TimeoutError:
                self._engine.kill()
        door.stop()


class Door:
    """The server's listener, which can be shut and opened again without losing its port."""

    def __init__(self, server: "_Server", host: str, port: int) -> None:
        self._server = server
        self._host = host
        self._place = _bound(host, port, share=True)
        self.url = _url(self._place)
        self._is_open = False

    async def start(self) -> None:
        """Begin to listen."""
        self._server.config.load()
        self._server.lifespan = self._server.config.lifespan_class(self._server.config)
        await self._server.startup(sockets=[])
        await self.open()

    async def serve(self) -> None:
        """Answer until `stop`, and until the connections that are left have closed."""
        await self._server.main_loop()
        await self._server.shutdown()
        self._place.close()

    def stop(self) -> None:
        """Refuse connections from now on, and come to an end."""
        self.shut()
        self._server.should_exit = True

    def shut(self) -> None:
        """Refuse connections and close idle ones. The bound place is kept, so that nobody else takes the port."""
        self._is_open = False
        for listener in self._server.servers:
            listener.close()
        self._server.servers.clear()
        for connection in list(self._server.server_state.connections):
            if isinstance(connection, Protocol) and connection.is_idle():
                connection.transport.close()

    async def open(self) -> None:
        """Listen again."""
        if self._is_open:
            return
        port = self._place.getsockname()[1]
        listener = await asyncio.get_running_loop().create_server(
            self._server.new_protocol, sock=_bound(self._host, port, share=True), backlog=_BACKLOG
        )
        self._server.servers.append(listener)
        self._is_open = True


class _Server(uvicorn.Server):
    """uvicorn, with its signal handling left to `Process` and its protocol factory within reach."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield

    def new_protocol(self) -> Protocol:
        """The protocol of a new connection."""
        return Protocol(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)


def _told_to_stop() -> asyncio.Event:
    """An event that SIGTERM and SIGINT set, from before anybody can know that the server is ready."""
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    return told


def _config(app: ASGIApp, keep_alive: int) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=Protocol,
        lifespan="off",
        log_level="critical",
        access_log=False,
        timeout_keep_alive=keep_alive,
        ws="none",
        proxy_headers=False,
    )


def _bound(host: str, port: int, *, share: bool) -> socket.socket:
    """A bound socket that does not listen yet. vLLM sets SO_REUSEPORT, and so do we on its port."""
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if share:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.bind((host, port))
    bound.setblocking(False)  # noqa: FBT003 -- the socket module's own signature
    return bound


def _url(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _ready_line(url: str, control: str | None) -> str:
    return f"ready {url} control {control}" if control else f"ready {url}"
