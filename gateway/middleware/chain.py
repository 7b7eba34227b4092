"""How do layers become one application? The first of a list outermost; the list itself stands in `gateway/app.py`."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from gateway.core.asgi import ASGIApp, Receive, Scope, Send


class Wrapped(Protocol):
    """A layer around the rest of the chain."""

    def __call__(self, scope: Scope, receive: Receive, send: Send, /) -> Awaitable[None]:
        """Answer one request."""
        ...


Layer = Callable[[ASGIApp], Wrapped]
"""Wraps the rest of the chain."""


def build_chain(layers: Sequence[Layer], innermost: ASGIApp) -> ASGIApp:
    """The ASGI application that passes a request through `layers`, the first one outermost."""
    app = innermost
    for layer in reversed(layers):
        app = layer(app).__call__  # the method itself: to call an object costs 500 instructions more
    return app
