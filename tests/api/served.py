"""The own paths on a real port, behind the allow-list and a boundary that spells failures, and a fleet set by hand."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import uvicorn

from gateway.api.control import ControlRelay
from gateway.api.endpoints import find
from gateway.api.own import build_own
from gateway.backends.health import BackendHealth, Readiness, State
from gateway.backends.reasons import Reason
from gateway.backends.roster import Roster, build_roster
from gateway.backends.settings import BackendSettings
from gateway.backends.view import CLOSED, BackendStatus, CircuitStatus
from gateway.core.asgi import ASGIApp, Receive, Scope, Send
from gateway.core.clock import SystemClock
from gateway.core.context import CONTEXT_KEY
from gateway.core.endpoint import Dialect
from gateway.core.envelope import error_body, error_headers
from gateway.core.errors import GatewayError, MethodNotAllowedError, NotFoundError
from gateway.core.fleet import BackendGroup
from gateway.core.principal import MASTER, Principal
from tests.core.requests import context

KEY = "sk-backends-4f2a"


def whole_roster() -> Roster:
    """The fleet of the design: two chat replicas and one server of each other kind."""
    return build_roster(
        BackendSettings.model_validate(
            {
                "backend_api_key": KEY,
                "chat_backends": "http://chat0:8000,http://chat1:8000",
                "text2sql_backend": "http://text2sql:8000",
                "embed_backend": "http://embed:8000",
                "rerank_backend": "http://rerank:8000",
            }
        )
    )


@dataclass
class FleetByHand:
    """Says of the fleet what a test sets."""

    roster: Roster = field(default_factory=whole_roster)
    readiness: Readiness = field(default_factory=lambda: Readiness(ready=True, reason="ok"))
    health: dict[str, BackendHealth] = field(default_factory=dict)
    circuits: dict[str, CircuitStatus] = field(default_factory=dict)
    lengths: dict[str, int] = field(default_factory=dict)

    def ready(self) -> Readiness:
        return self.readiness

    def statuses(self) -> list[BackendStatus]:
        well = BackendHealth(State.HEALTHY, Reason.OK, since=0.0, latency=0.0042, running=5.0, waiting=1.0)
        return [
            BackendStatus(group, backend, self.health.get(name, well), 3, self.circuits.get(name, CLOSED))
            for group, backend in self.roster.backends()
            for name in (backend.name,)
        ]

    def max_model_len(self, group: BackendGroup) -> int | None:
        return self.lengths.get(group.name)


def guarded(own: ASGIApp, principal: Principal = MASTER) -> ASGIApp:
    """`own` as the chain presents it: unknown paths and methods never reach it, failures leave it unsaid.

    `principal` is who asks.
    """

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            endpoint = find(scope["path"], scope["raw_path"])
            if endpoint is None:
                raise NotFoundError("No such path.")
            if scope["method"] not in endpoint.methods:
                raise MethodNotAllowedError("No such method.", headers=[endpoint.allow()])
            await own({**scope, CONTEXT_KEY: context(endpoint, principal=principal)}, receive, send)
        except GatewayError as error:
            headers = [(b"content-type", b"application/json"), *error.headers, *error_headers(error)]
            await send({"type": "http.response.start", "status": error.status, "headers": headers})
            await send({"type": "http.response.body", "body": error_body(error, Dialect.OPENAI, "r1")})

    return app


@contextlib.asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[str]:
    """The base URL of a server that runs `app` until the scope is left."""
    config = uvicorn.Config(app, lifespan="off", log_config=None, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task


def own_of(fleet: FleetByHand, principal: Principal = MASTER) -> ASGIApp:
    """The own paths for `fleet`, guarded, as `principal` sees them."""
    return guarded(build_own(fleet.roster, fleet, ControlRelay("", uncounted), SystemClock()), principal)


async def uncounted(_: str) -> None:
    """No address is counted."""
