"""Who answers what no backend answers? A table of our own paths, and FastAPI for the documentation alone."""

import gc
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, Final

import orjson

from gateway.api.control import ControlRelay
from gateway.api.fleet import FleetView, Models
from gateway.api.models import models_paths
from gateway.api.own_path import OwnPath
from gateway.api.probes import probes_paths
from gateway.core.asgi import ASGIApp, Receive, Scope, Send
from gateway.core.clock import Clock
from gateway.core.context import CONTEXT_KEY, RequestContext
from gateway.core.errors import MethodNotAllowedError
from gateway.core.later import Later

DISTRIBUTION: Final = "inference-gateway"
"""Under this name the gateway is installed."""


class Own:
    """The innermost application for every path that is not relayed.

    It raises `GatewayError` for expected failures and lets any other through, with nothing sent in either case.

    Args:
        rows: the paths that are answered here.
        control: answers what the control process knows.
        document: makes the application that answers any other; called once, in a thread, at the first request for it.
            A worker that nobody asks for documentation then never loads what writes it: 14 MiB and 0.3 s.
    """

    def __init__(self, rows: Sequence[OwnPath], control: ASGIApp, document: Callable[[], ASGIApp]) -> None:
        self._exact = {row.path: row for row in rows if "{" not in row.path}
        self._beginnings = [(row.path.partition("{")[0], row) for row in rows if "{" in row.path]
        self._control = control
        self._documentation = Later(document)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; to HEAD as to GET: the server, which knows the method, leaves the body out."""
        path = scope["path"]
        row = self._exact.get(path)
        if row is not None:
            await _reply(row, (), scope, send)
            return
        for beginning, one in self._beginnings:
            if path.startswith(beginning):
                await _reply(one, (path.removeprefix(beginning),), scope, send)
                return
        if scope[CONTEXT_KEY].endpoint.control:
            await self._control(scope, receive, send)
            return
        await self._documentation(scope, receive, send)


def build_own(
    roster: Models,
    fleet: FleetView,
    control: ControlRelay,
    clock: Clock,
    is_away: Callable[[], bool | None] = lambda: None,
) -> ASGIApp:
    """The own paths of one worker.

    Args:
        roster: the configured models.
        fleet: the backends' state; whoever drains wraps it and says so in `ready()`.
        control: answers what the control process knows.
        clock: the wall clock dates the models, the monotonic one the states.
        is_away: whether the server that hosts share does not decide about limits now; None: hosts share none.
    """
    rows = [
        *models_paths(roster, fleet, created=int(clock.wall())),
        *probes_paths(fleet, control.neighbours, is_away, clock),
    ]

    def document() -> ASGIApp:
        from importlib.metadata import version  # noqa: PLC0415 -- only when asked for, as FastAPI

        from gateway.api.documentation import build_documentation  # noqa: PLC0415

        application = build_documentation(rows, roster, version(DISTRIBUTION))
        gc.freeze()  # as the worker does at its start: what was loaded never becomes garbage
        return application

    return Own(rows, control, document)


async def _reply(row: OwnPath, arguments: tuple[str, ...], scope: Scope, send: Send) -> None:
    if scope["method"] not in {"GET", "HEAD"}:
        raise MethodNotAllowedError(f"{scope['path']} takes GET.", headers=[(b"allow", b"GET, HEAD")])
    if row.answer_to is None:
        answer = row.answer(*arguments)
    else:
        ctx: RequestContext = scope[CONTEXT_KEY]
        answer = row.answer_to(ctx.principal, *arguments)
    body = orjson.dumps(_without_none(asdict(answer)) if row.sparse else answer)
    stated = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": [*stated, *row.headers]})
    await send({"type": "http.response.body", "body": body})


def _without_none(value: Any) -> Any:  # noqa: ANN401 -- whatever JSON may hold
    """The same without the members that are None."""
    if isinstance(value, dict):
        return {name: _without_none(one) for name, one in value.items() if one is not None}
    return [_without_none(one) for one in value] if isinstance(value, list) else value
