"""A worker's end: for whom it waits."""

import asyncio

import pytest
from uvicorn import Config

from gateway.core.worker import WorkerIdentity
from gateway.server.worker import WorkerServer
from tests.server.door import Echo

pytestmark = pytest.mark.anyio


async def test_a_request_cancelled_before_it_began_holds_up_no_drain() -> None:
    config = Config(Echo(), lifespan="off")
    config.load()
    server = WorkerServer(config, WorkerIdentity(), drain_secs=30.0)
    server.lifespan = config.lifespan_class(config)
    request = asyncio.create_task(asyncio.Event().wait())
    request.cancel()  # before its first step: nothing of it runs that could strike it from the set
    await asyncio.wait([request])
    server.server_state.tasks.add(request)  # type: ignore[arg-type]  # a wait returns True
    await asyncio.wait_for(server.shutdown(), 5)
