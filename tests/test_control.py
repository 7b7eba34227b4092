"""Tests of the control process's own wiring."""

import asyncio
from pathlib import Path

import httpx
import pytest

from gateway.admin.app import build_admin
from gateway.bookkeeping import publishing
from gateway.bookkeeping.publishing import Publishing
from gateway.catalog.publisher import Publisher
from gateway.catalog.reader import Catalog
from gateway.catalog.settings import CatalogSettings
from gateway.control import with_news
from gateway.core.clock import SystemClock
from gateway.database.database import Database
from gateway.database.settings import DatabaseSettings
from gateway.observability.metrics import Metrics
from tests.support.admin import ADMIN_KEY, Figures, Ruling
from tests.support.gateway import wait_until

pytestmark = pytest.mark.anyio

AN_HOUR = 3600.0


async def no_models() -> bytes:
    """There are none but the settings' own."""
    return b""


async def come(catalog: Catalog, after: int) -> int:
    """The catalog's next version."""
    await asyncio.to_thread(wait_until, lambda: catalog.version() != after)
    return catalog.version()


async def test_a_change_is_published_when_it_was_answered_and_not_at_the_next_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "POLL_SECS", AN_HOUR)
    clock = SystemClock()
    database = Database(DatabaseSettings(data_path=tmp_path / "data"), clock)
    publisher = Publisher(tmp_path / "catalog", clock)
    press = Publishing(database, publisher, clock, Metrics(), no_models)
    application = with_news(build_admin(database, Ruling(), Figures(), clock), press.wake)
    with Catalog(tmp_path / "catalog", CatalogSettings(), clock) as catalog:
        running = asyncio.create_task(press.run())
        first = await come(catalog, catalog.version())
        transport = httpx.ASGITransport(application)
        async with httpx.AsyncClient(transport=transport, base_url="http://control") as client:
            client.headers["x-admin-key"] = ADMIN_KEY
            assert (await client.get("/admin/v1/organizations")).status_code == 200
            assert catalog.version() == first
            assert (await client.post("/admin/v1/organizations", json={"id": "org:acme"})).status_code == 201
            assert await come(catalog, first) != first
        running.cancel()
        await asyncio.wait([running])
    publisher.close()
    await database.close()
