"""One request's way through the server: ledger, fault, request id, key, path, endpoint."""

import hashlib
import hmac
import time
from collections.abc import Mapping
from uuid import uuid4

import orjson
from starlette.types import Receive, Scope, Send

from gateway.simulator.bodies.parsing import parse_json
from gateway.simulator.endpoints.routes import Route, find, routes
from gateway.simulator.errors import Refusal, Unreadable, bad_request
from gateway.simulator.exchange import ClientGone, Exchange
from gateway.simulator.faults import Faults
from gateway.simulator.ledger import Ending
from gateway.simulator.service import Service

_GUARDED = ("/v1", "/v2", "/inference", "/cohere")
_KEPT_BODY = 1 << 20
_FIRST_ERROR = 400


class App:
    """The ASGI application."""

    def __init__(self, service: Service, faults: Faults) -> None:
        self._service = service
        self._faults = faults
        self._routes: Mapping[str, Route] = routes(service.options.kind)
        self._keys = [_digest(key) for key in service.options.api_keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request and note in the ledger how it ended."""
        if scope["type"] != "http":
            return
        ledger = self._service.ledger
        entry = ledger.open(scope["method"], scope["path"], _now())
        exchange = Exchange(scope, receive, send, entry)
        entry.request_id = exchange.header("x-request-id")
        if self._service.options.keep_bodies:  # of those that a fault strikes, too
            entry.headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        fault = self._faults.take(scope["method"], scope["path"])
        try:
            if fault is None:
                await self._answer(exchange)
            else:
                entry.fault = fault.name
                await fault.strike(exchange, self._answer)
        except ClientGone:
            exchange.gone = True
        finally:
            exchange.abandon()
            entry.completion_tokens = exchange.tokens_made()
            ledger.close(entry, _ending(exchange), _now())

    async def _answer(self, exchange: Exchange) -> None:
        path, method = exchange.scope["path"], exchange.scope["method"]
        route = find(self._routes, path)
        if self._service.options.request_id_headers:
            request_id = exchange.header("x-request-id") or uuid4().hex
            exchange.extra_headers.append((b"x-request-id", request_id.encode("latin-1")))
        if self._service.options.keep_bodies:
            await _keep(exchange)
        if not self._has_key(exchange):
            await exchange.json({"error": "Unauthorized"}, 401, vary=False)
        elif route is None:
            await self._nowhere(exchange)
        elif (method == "GET" and route.get) or (method == "POST" and route.post):
            await self._run(exchange, route)
        else:
            exchange.extra_headers.append((b"allow", route.allow))
            await exchange.json({"detail": "Method Not Allowed"}, 405)
        if exchange.status is not None:
            self._service.metrics.answered(method, path if route else "none", exchange.status)

    async def _nowhere(self, exchange: Exchange) -> None:
        """404, or a redirect where only a slash too much stands at the end."""
        path: str = exchange.scope["path"]
        if path.rstrip("/") in self._routes and path != "/":
            host = exchange.header("host") or "localhost"
            exchange.extra_headers.append((b"location", f"http://{host}{path.rstrip('/')}".encode("latin-1")))
            await exchange.answer(b"", [], 307)
        else:
            await exchange.json({"detail": "Not Found"}, 404)

    async def _run(self, exchange: Exchange, route: Route) -> None:
        tracked = route.counted and self._service.options.load_tracking
        self._service.load += tracked
        try:
            if route.get is not None and exchange.scope["method"] == "GET":
                await route.get(self._service, exchange)
            elif route.post is not None:
                content = await exchange.body()
                data = parse_json(exchange.header("content-type"), content) if route.takes_json else None
                await route.post(self._service, exchange, data)
        except Refusal as refusal:
            shape = refusal.anthropic() if route.anthropic and refusal.in_handler else refusal.openai()
            await exchange.json(shape, refusal.status)
        except (UnicodeEncodeError, orjson.JSONEncodeError) as error:  # a lone surrogate
            await exchange.json(bad_request(str(error)).openai(), 400)
        except Unreadable:
            await exchange.json({"detail": "There was an error parsing the body"}, 400)
        finally:
            self._service.load -= tracked

    def _has_key(self, exchange: Exchange) -> bool:
        """A key guards only some prefixes: everything else is open to whoever reaches the port."""
        if not self._keys or exchange.scope["method"] == "OPTIONS":
            return True
        if not exchange.scope["path"].startswith(_GUARDED):
            return True
        scheme, _, key = (exchange.header("authorization") or "").partition(" ")
        given = _digest(key)
        known = [hmac.compare_digest(given, digest) for digest in self._keys]
        return scheme.lower() == "bearer" and any(known)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


async def _keep(exchange: Exchange) -> None:
    exchange.entry.body = (await exchange.body())[:_KEPT_BODY].decode("utf-8", "replace")


def _ending(exchange: Exchange) -> Ending:
    if exchange.broken:
        return "failed"
    if exchange.gone:
        return "aborted"
    if exchange.status is None or exchange.status >= _FIRST_ERROR:
        return "refused"
    return "finished"


def _now() -> float:
    """The loop's own clock stands still for a millisecond, in which requests of two servers can change places."""
    return time.monotonic()
