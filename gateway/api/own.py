"""Who answers what no backend answers? The FastAPI application behind the chain, for the gateway's own paths."""

from http import HTTPStatus

from fastapi import FastAPI
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from gateway.api.docs import docs_router
from gateway.api.fleet import FleetView
from gateway.api.models import models_router
from gateway.api.openapi import render_document
from gateway.api.probes import probes_router
from gateway.backends.roster import Roster
from gateway.core.asgi import ASGIApp, Receive, Scope, Send
from gateway.core.clock import Clock
from gateway.core.errors import GatewayError, MethodNotAllowedError, NotFoundError


class _Bare(FastAPI):
    """FastAPI without its error pages: failures belong to the chain's error boundary, which renders them all."""

    def build_middleware_stack(self) -> ASGIApp:
        """The router, and the exit stack that FastAPI's request handling needs around it."""
        return AsyncExitStackMiddleware(self.router)


def build_own(roster: Roster, fleet: FleetView, clock: Clock, version: str) -> ASGIApp:
    """The innermost application for every path that is not relayed.

    It raises `GatewayError` for expected failures and lets any other through, with nothing sent in either case.

    Args:
        roster: the configured models.
        fleet: the backends' state; whoever drains wraps the prober and says so in `ready()`.
        clock: the wall clock dates the models, the monotonic one the states.
        version: the gateway's, for the OpenAPI document.
    """
    app = _Bare(
        title="Inference gateway",
        version=version,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        generate_unique_id_function=_operation_id,
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.include_router(models_router(roster, fleet, created=int(clock.wall())))
    app.include_router(probes_router(fleet, clock))
    app.include_router(docs_router(render_document(app, roster)))

    async def own(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "HEAD":
            # The same answer; the server, which knows the real method, leaves the body out.
            scope = {**scope, "method": "GET"}
        try:
            await app(scope, receive, send)
        except HTTPException as error:
            raise _translate(error, scope["path"]) from error

    return own


def _operation_id(route: APIRoute) -> str:
    """The handler's name with dashes: Swagger UI reads an underscore in a deep link as a blank."""
    return route.name.replace("_", "-")


def _translate(error: HTTPException, path: str) -> GatewayError:
    """Starlette's refusals in our words."""
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        return MethodNotAllowedError(f"{path} takes GET.", headers=[(b"allow", b"GET, HEAD")])
    return NotFoundError("This gateway has no such path; see /docs for those it has.")
