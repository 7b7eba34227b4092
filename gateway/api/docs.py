"""How do people try the API? Swagger UI from our own origin: offline, with nothing inline for a policy to forbid."""

from importlib.resources import files

import fastapi_swagger.resources
from fastapi import APIRouter, Response

from gateway.core.errors import NO_SUCH_PATH, NotFoundError

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Swagger UI's stylesheet carries its icons as data: images; nothing else comes from outside a file of ours."""

_PAGE = b"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Inference gateway: API</title>
<link rel="icon" type="image/png" href="/docs/favicon-32x32.png">
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""

_START = b"""SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  displayRequestDuration: true,
  tryItOutEnabled: true,
  validatorUrl: null,
});
"""
"""No validator: it would send the document's address to a server of somebody else's."""

_SHIPPED = {
    "swagger-ui.css": "text/css; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "favicon-32x32.png": "image/png",
}
_CACHE = "public, max-age=3600"


def docs_router(document: bytes) -> APIRouter:
    """`/docs`, the files below it, and `/openapi.json`, which is `document`.

    Raises:
        FileNotFoundError: the package that brings Swagger UI lacks one of its files.
    """
    router = APIRouter(include_in_schema=False)
    package = files(fastapi_swagger.resources)
    assets = {name: (package.joinpath(name).read_bytes(), kind) for name, kind in _SHIPPED.items()}
    assets["start.js"] = (_START, "text/javascript; charset=utf-8")

    @router.get("/docs")
    async def page() -> Response:
        return _file(_PAGE, "text/html; charset=utf-8", "no-cache")

    @router.get("/docs/{name}")
    async def asset(name: str) -> Response:
        if name not in assets:
            raise NotFoundError(NO_SUCH_PATH)
        content, kind = assets[name]
        return _file(content, kind, _CACHE)

    @router.get("/openapi.json")
    async def openapi() -> Response:
        return _file(document, "application/json", "no-cache")

    return router


def _file(content: bytes, kind: str, cache: str) -> Response:
    headers = {
        "cache-control": cache,
        "content-security-policy": POLICY,
        "content-type": kind,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
    }
    return Response(content, headers=headers)
