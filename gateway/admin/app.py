"""What answers `/admin/...` and `/v1/usage`? A FastAPI application behind a gate, for the control process."""

import hashlib
from collections.abc import Sequence
from http import HTTPStatus

from fastapi import APIRouter, FastAPI, Response
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute

from gateway.admin.asking import House, Ruled
from gateway.admin.audit import AuditRoutes
from gateway.admin.backends import BackendRoutes
from gateway.admin.document import described
from gateway.admin.fleet import Fleet
from gateway.admin.gate import Gate
from gateway.admin.keys import KeyRoutes
from gateway.admin.live import Live
from gateway.admin.models import ModelRoutes
from gateway.admin.organizations import OrganizationRoutes
from gateway.admin.quotas import QuotaRoutes, Quotas
from gateway.admin.requests import RequestRoutes
from gateway.admin.running import RunningRoutes
from gateway.admin.usage import UsageRoutes
from gateway.core.asgi import ASGIApp, Message, Receive, Scope, Send
from gateway.core.clock import Clock
from gateway.database.database import Database

TITLE = "Inference gateway: administration"
DOCUMENT_PATH = "/admin/openapi.json"
NEVER_KEPT = (b"cache-control", b"no-store")


class _Bare(FastAPI):
    """FastAPI without its error pages: failures belong to the gate, which renders them all."""

    def build_middleware_stack(self) -> ASGIApp:
        """The router, and the exit stack that FastAPI's request handling needs around it."""
        return AsyncExitStackMiddleware(self.router)


def build_admin(database: Database, settings: Ruled, live: Live, clock: Clock) -> ASGIApp:
    """The admin API and the clients' own usage, for a socket that only this gateway's workers can reach.

    A worker relays with what the client sent, but for `x-gateway-principal`, which is the worker's to set; it drops
    that header from what clients send. Failures are answered here, whole; nothing is raised.

    Args:
        database: open, and the caller's to close.
        settings: those of `Ruled`.
        live: the running gateway.
        clock: its wall clock dates what expires.
    """
    app = _Bare(
        title=TITLE,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        generate_unique_id_function=_operation_id,
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    routers = [*routers_of(House(database, settings, live, clock)), _document_router(app)]
    for router in routers:
        app.include_router(router)
    keys = [hashlib.sha256(key.get_secret_value().encode()).digest() for key in settings.admin_api_key]
    return Gate(private(app, [route for router in routers for route in router.routes]), keys)


def routers_of(house: House) -> list[APIRouter]:
    """All paths but the document's; failures are raised."""
    quotas, fleet = Quotas(house), Fleet(house.live, house.database.backends)
    rooms = (
        KeyRoutes(house),
        OrganizationRoutes(house),
        ModelRoutes(house),
        BackendRoutes(house, fleet),
        UsageRoutes(house, quotas),
        RequestRoutes(house),
        QuotaRoutes(house, quotas),
        RunningRoutes(house, fleet),
        AuditRoutes(house),
    )
    return [room.router() for room in rooms]


def private(app: FastAPI, routes: Sequence[BaseRoute]) -> ASGIApp:
    """The application, whose answers nobody may keep, and whose 405 names all methods of the path."""

    async def answered(scope: Scope, receive: Receive, send: Send) -> None:
        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], NEVER_KEPT]
            await send(message)

        try:
            await app(scope, receive, sealed)
        except HTTPException as error:
            if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
                error.headers = {"Allow": ", ".join(methods_of(routes, scope["path"]))}
            raise

    return answered


def methods_of(routes: Sequence[BaseRoute], path: str) -> list[str]:
    """The methods of a path; FastAPI itself knows those of the first route alone."""
    found = {
        method
        for route in routes
        if isinstance(route, APIRoute) and route.path_regex.match(path)
        for method in route.methods or ()
    }
    return sorted(found | ({"HEAD"} if "GET" in found else set()))


def _document_router(app: FastAPI) -> APIRouter:
    """The path that describes all others."""
    router = APIRouter()

    def document() -> Response:
        return JSONResponse(described(app, TITLE))

    router.add_api_route(DOCUMENT_PATH, document, include_in_schema=False)
    return router


def _operation_id(route: APIRoute) -> str:
    return route.name.replace("_", "-")
