"""How is the simulator told to misbehave? A small JSON API on a port of its own."""

import time
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.simulator.errors import engine_dead
from gateway.simulator.faults import Door, Faults
from gateway.simulator.service import Service

_TIMES = {"ttft_ms": "first", "token_ms": "each", "spread_ms": "spread"}

Handler = Callable[[Request], Awaitable[Response]]


class Control:
    """The control port's paths.

    `GET /ledger` (`?probes=1` with health checks and the like, `?after=7` without the first seven), `DELETE /ledger`,
    `GET /faults`, `PUT /faults` (a list of rows, or one row), `DELETE /faults`, `GET /pace` and `PUT /pace` (`ttft_ms`,
    `token_ms`, `spread_ms`), `POST /stop-engine`, `POST /resume-engine`, `POST /kill-engine`, `GET /state`.
    """

    def __init__(self, service: Service, faults: Faults, door: Door) -> None:
        self._service = service
        self._faults = faults
        self._door = door

    def app(self) -> Starlette:
        """The ASGI application."""
        table: list[tuple[str, str, Handler]] = [
            ("GET", "/ledger", self._ledger),
            ("DELETE", "/ledger", self._clear_ledger),
            ("GET", "/faults", self._show_faults),
            ("PUT", "/faults", self._put_faults),
            ("DELETE", "/faults", self._clear_faults),
            ("GET", "/pace", self._show_pace),
            ("PUT", "/pace", self._put_pace),
            ("POST", "/stop-engine", self._stop),
            ("POST", "/resume-engine", self._resume),
            ("POST", "/kill-engine", self._kill),
            ("GET", "/state", self._state),
        ]
        return Starlette(routes=[Route(path, handler, methods=[method]) for method, path, handler in table])

    async def _ledger(self, request: Request) -> Response:
        probes = request.query_params.get("probes", "0") not in ("", "0")
        after = int(request.query_params.get("after", "0"))
        rows = list(self._service.ledger.rows(probes=probes, after=after))
        return _json({"now": time.monotonic(), "requests": rows})

    async def _clear_ledger(self, _request: Request) -> Response:
        self._service.ledger.clear()
        return _json({})

    async def _show_faults(self, _request: Request) -> Response:
        return _json(self._faults.rows())

    async def _put_faults(self, request: Request) -> Response:
        try:
            given: Any = orjson.loads(await request.body())
            await self._faults.replace(given if isinstance(given, list) else [given], self._door)
        except (ValueError, TypeError) as error:
            return _json({"error": str(error)}, 400)
        return _json(self._faults.rows())

    async def _clear_faults(self, _request: Request) -> Response:
        await self._faults.replace([], self._door)
        return _json([])

    async def _show_pace(self, _request: Request) -> Response:
        pace = self._service.engine.pace
        return _json({name: getattr(pace, field) * 1000 for name, field in _TIMES.items()})

    async def _put_pace(self, request: Request) -> Response:
        given: Any = orjson.loads(await request.body())
        if strange := set(given) - set(_TIMES):
            return _json({"error": f"unknown {', '.join(sorted(strange))}; there are {', '.join(_TIMES)}"}, 400)
        seconds = {_TIMES[name]: value / 1000 for name, value in given.items()}
        if "first" in seconds:
            seconds["per_prompt_token"] = 0.0
        self._service.engine.pace = self._service.engine.pace.changed(**seconds)
        return await self._show_pace(request)

    async def _stop(self, _request: Request) -> Response:
        self._service.engine.stop()
        return _json({})

    async def _resume(self, _request: Request) -> Response:
        self._service.engine.resume()
        return _json({})

    async def _kill(self, _request: Request) -> Response:
        self._service.engine.kill(engine_dead())
        return _json({})

    async def _state(self, _request: Request) -> Response:
        engine = self._service.engine
        return _json({"running": len(engine.running), "waiting": engine.waiting, "draining": engine.draining})


def _json(content: object, status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")
