"""What may be added to the gateway, to see that the guard finds it? Layers around the application, by their names."""

from collections.abc import Callable

from gateway.core.asgi import ASGIApp
from tests.guard.meter import BELOW

LAYER = """
async def added(scope, receive, send):
    await app(scope, receive, send)
"""
LOOPING = """
async def added(scope, receive, send):
    for _ in range(40):
        pass
    await app(scope, receive, send)
"""
HOLDING = """
async def added(scope, receive, send):
    held = b"-" * (100 + len(scope["path"]))
    await app(scope, receive, send)
"""
FOR_EACH_EVENT = """
async def added(scope, receive, send):
    connection = scope["extensions"]["gateway.connection"]

    class Added:
        def __getattr__(self, name):
            return getattr(connection, name)

        def push(self, data):
            return connection.push(data)

    scope["extensions"]["gateway.connection"] = Added()
    await app(scope, receive, send)
"""
STUCK = """
import threading

async def added(scope, receive, send):
    threading.Event().wait()
"""
STOPPED = """
import os
import signal

async def added(scope, receive, send):
    os.kill(os.getpid(), signal.SIGSTOP)
"""
CHANGES = {
    "layer": LAYER,
    "looping": LOOPING,
    "holding": HOLDING,
    "for-each-event": FOR_EACH_EVENT,
    "stuck": STUCK,
    "stopped": STOPPED,
}


def added(source: str, **known: object) -> Callable[..., object]:
    """The function `added` of a file that would stand below gateway/."""
    exec(compile(source, f"{BELOW}added.py", "exec"), known)  # noqa: S102 -- the source stands in the tests
    function = known["added"]
    assert callable(function)
    return function


def around(name: str | None) -> Callable[[ASGIApp], ASGIApp]:
    """What puts the change of that name around an application; None changes nothing."""
    if name is None:
        return lambda app: app
    source = CHANGES[name]
    return lambda app: added(source, app=app)  # type: ignore[return-value]  # an application by its source
