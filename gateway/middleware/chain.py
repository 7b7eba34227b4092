"""How do layers become one application? The first of a list outermost; the list itself stands in `gateway/app.py`."""

from collections.abc import Callable, Sequence

from gateway.core.asgi import ASGIApp

Layer = Callable[[ASGIApp], ASGIApp]
"""Wraps the rest of the chain."""


def build_chain(layers: Sequence[Layer], innermost: ASGIApp) -> ASGIApp:
    """The ASGI application that passes a request through `layers`, the first one outermost."""
    app = innermost
    for layer in reversed(layers):
        app = layer(app)
    return app
