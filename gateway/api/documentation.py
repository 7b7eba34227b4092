"""Who serves the documentation? A FastAPI application, made when somebody first asks for it."""

from collections.abc import Sequence
from http import HTTPStatus

from fastapi import FastAPI
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from gateway.api.docs import docs_router
from gateway.api.fleet import Models
from gateway.api.openapi import render_document
from gateway.api.own_path import OwnPath
from gateway.core.asgi import ASGIApp, Receive, Scope, Send
from gateway.core.errors import NO_SUCH_PATH, GatewayError, MethodNotAllowedError, NotFoundError


class _Bare(FastAPI):
    """FastAPI without its error pages: failures belong to the chain's error boundary, which renders them all."""

    def build_middleware_stack(self) -> ASGIApp:
        """The router, and the exit stack that FastAPI's request handling needs around it."""
        return AsyncExitStackMiddleware(self.router)


def build_documentation(rows: Sequence[OwnPath], roster: Models, version: str) -> ASGIApp:
    """`/docs`, the files below it, and `/openapi.json`.

    Args:
        rows: the own paths, which it describes and does not answer.
        roster: the configured models.
        version: the gateway's.
    """
    app = _Bare(
        title="Inference gateway",
        version=version,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.include_router(docs_router(render_document(describe(rows, version), roster)))

    async def documentation(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "HEAD":
            # The same answer; the server, which knows the real method, leaves the body out.
            scope = {**scope, "method": "GET"}
        try:
            await app(scope, receive, send)
        except HTTPException as error:
            raise _translate(error, scope["path"]) from error

    return documentation


def describe(rows: Sequence[OwnPath], version: str) -> FastAPI:
    """An application that has the own paths, for the document that FastAPI makes of them."""
    app = FastAPI(
        title="Inference gateway",
        version=version,
        generate_unique_id_function=_operation_id,
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    for row in rows:
        app.add_api_route(row.path, row.answer, tags=[row.tag])
    return app


def _operation_id(route: APIRoute) -> str:
    """The handler's name with dashes: Swagger UI reads an underscore in a deep link as a blank."""
    return route.name.replace("_", "-")


def _translate(error: HTTPException, path: str) -> GatewayError:
    """Starlette's refusals in our words."""
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        return MethodNotAllowedError(f"{path} takes GET.", headers=[(b"allow", b"GET, HEAD")])
    return NotFoundError(NO_SUCH_PATH)
