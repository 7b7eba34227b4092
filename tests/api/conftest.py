"""The own paths over a real socket."""

from collections.abc import AsyncIterator

import httpx
import pytest

from tests.api.served import FleetByHand, own_of, serving


@pytest.fixture
def fleet() -> FleetByHand:
    """All well, until the test says otherwise."""
    return FleetByHand()


@pytest.fixture
async def client(fleet: FleetByHand) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(own_of(fleet)) as url, httpx.AsyncClient(base_url=url, trust_env=False) as http:
        yield http
