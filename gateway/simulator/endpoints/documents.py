"""GET /openapi.json and /docs: which paths does the server say it has? Open to whoever reaches the port."""

from collections.abc import Mapping, Sequence

from gateway.simulator.exchange import Exchange
from gateway.simulator.service import Service

_PAGE = b"""<!DOCTYPE html>
<html><head><title>FastAPI - Swagger UI</title></head><body><a href="/openapi.json">openapi.json</a></body></html>
"""


async def openapi(methods: Mapping[str, Sequence[str]], _service: Service, exchange: Exchange) -> None:
    """The paths with their methods, without schemas."""
    answered = {"200": {"description": "Successful Response"}}
    paths = {
        path if not path.endswith("/") else f"{path}{{response_id}}": {name: {"responses": answered} for name in names}
        for path, names in methods.items()
    }
    await exchange.json({"openapi": "3.1.0", "info": {"title": "FastAPI", "version": "0.1.0"}, "paths": paths})


async def docs(_service: Service, exchange: Exchange) -> None:
    """A page."""
    await exchange.answer(_PAGE, [(b"content-type", b"text/html; charset=utf-8")])
