"""A request passes the layers in the order of the list."""

import pytest

from gateway.core.asgi import ASGIApp, Receive, Scope, Send
from gateway.middleware.chain import Layer, build_chain
from tests.core.requests import Told, nothing_to_receive

pytestmark = pytest.mark.anyio


async def test_the_first_layer_is_the_outermost() -> None:
    passed: list[str] = []

    def layer(name: str) -> Layer:
        def wrap(app: ASGIApp) -> ASGIApp:
            async def run(scope: Scope, receive: Receive, send: Send) -> None:
                passed.append(name)
                await app(scope, receive, send)
                passed.append(f"{name} again")

            return run

        return wrap

    async def innermost(*_: object) -> None:
        passed.append("app")

    await build_chain([layer("door"), layer("stairs")], innermost)({}, nothing_to_receive, Told())
    assert passed == ["door", "stairs", "app", "stairs again", "door again"]


async def test_an_empty_list_is_the_application_itself() -> None:
    async def innermost(*_: object) -> None: ...

    assert build_chain([], innermost) is innermost
