"""In which order does a request pass the door? One list."""

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
