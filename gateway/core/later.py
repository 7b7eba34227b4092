"""How does an application cost nothing until somebody asks for it? It is loaded and made at its first request."""

import asyncio
from collections.abc import Callable

from gateway.core.asgi import ASGIApp, Receive, Scope, Send


class Later:
    """An application that stands in for one that is yet to be made.

    Args:
        make: makes it, in a thread; called once, and again by the next request if it fails.
    """

    def __init__(self, make: Callable[[], ASGIApp]) -> None:
        self._make = make
        self._made: asyncio.Task[ASGIApp] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, when it is there."""
        made = self._made
        if made is None or (made.done() and (made.cancelled() or made.exception())):
            made = self._made = asyncio.create_task(asyncio.to_thread(self._make))
        application = await asyncio.shield(made)  # whoever asked first may leave meanwhile
        await application(scope, receive, send)
