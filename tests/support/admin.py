"""How does a test get an admin API? The real application on a real socket, beside a gateway that is a few figures."""

import asyncio
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from typing import Any, Self

import httpx
import uvicorn
from msgspec.structs import asdict
from pydantic import SecretStr

from gateway.admin.app import build_admin
from gateway.admin.live import Fixed, Load, Window, fixed_by_settings
from gateway.backends.choices import BackendsShared
from gateway.backends.health import BackendHealth, State
from gateway.backends.reasons import Reason
from gateway.backends.roster import Roster
from gateway.backends.view import BackendStatus
from gateway.core.clock import SystemClock
from gateway.core.endpoint import ModelKind
from gateway.core.fleet import Backend, BackendGroup
from gateway.core.principal import AccountLimits
from gateway.database.database import Database
from gateway.database.settings import DatabaseSettings
from gateway.fleet.drains import Drains
from tests.support.gateway import wait_until

ADMIN_KEY = "admin-0123456789abcdef"
OTHER_ADMIN_KEY = "admin-fedcba9876543210"
ROSTER = Roster(
    (
        BackendGroup(
            "chat",
            ModelKind.CHAT,
            "Qwen/Qwen2.5-7B-Instruct",
            ("qwen",),
            (Backend("chat0", "http://chat0:8000"), Backend("chat1", "http://chat1:8000")),
        ),
    )
)
DEFAULTS = AccountLimits(requests_per_day=100_000, tokens_per_day=10_000_000, tokens_per_month=300_000_000)
RESETS_AT = 1_900_000_000.0
TODAY = date(2026, 11, 21)


@dataclass
class Figures:
    """A `Live` that says what a test wrote into it."""

    in_flight: dict[str, int] = field(default_factory=lambda: {"chat0": 3})
    loads_now: list[Load] = field(default_factory=list)
    used: dict[tuple[str, str], int] = field(default_factory=dict)
    cached: int = 0
    drains: Drains = field(default_factory=lambda: Drains(BackendsShared.AUTO, ""))

    def fixed(self) -> Sequence[Fixed]:
        return fixed_by_settings(ROSTER)

    def defaults(self) -> AccountLimits:
        return DEFAULTS

    def backends(self) -> Sequence[BackendStatus]:
        well = BackendHealth(State.HEALTHY, Reason.OK, since=0.0)
        return [BackendStatus(group, one, well, self.in_flight.get(one.name, 0)) for group, one in ROSTER.backends()]

    async def loads(self) -> Sequence[Load]:
        return self.loads_now

    async def standing(self, account: str, limits: AccountLimits) -> Sequence[Window]:
        there_are = [(name, limit) for name, limit in asdict(limits).items() if limit]
        return [Window(name, limit, self.used.get((account, name), 0), RESETS_AT) for name, limit in there_are]

    async def flush_cache(self) -> int:
        flushed, self.cached = self.cached, 0
        return flushed

    def today(self) -> date:
        return TODAY

    def ordinal(self, day: date) -> int:
        return day.toordinal()

    def date_of(self, ordinal: int) -> date:
        return date.fromordinal(ordinal)

    def begins(self, day: date) -> float:
        return datetime.combine(day, time(), UTC).timestamp()


@dataclass(frozen=True)
class Ruling:
    """The settings that the admin API reads."""

    admin_api_key: list[SecretStr] = field(default_factory=lambda: [SecretStr(ADMIN_KEY), SecretStr(OTHER_ADMIN_KEY)])
    key_hash_secret: SecretStr = field(default_factory=lambda: SecretStr("5f3c0b7e9d1a4e6688b2d4f0a1c3e5975f3c0b7e"))
    max_rps_per_ip: float = 50.0
    rps_burst: float = 100.0
    max_inflight_per_ip: int = 120
    max_queued_per_ip: int = 240
    queue_timeout_secs: float = 2.0


class HandClock(SystemClock):
    """A wall clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()

    def wall(self) -> float:
        return self.now


class AdminServer:
    """The admin API on a port of this host, with a database of its own, in a thread of this process."""

    def __init__(self, database: DatabaseSettings, ruling: Ruling | None = None) -> None:
        self.live = Figures()
        self.clock = HandClock()
        self.database = Database(database, self.clock)
        self._ruling = ruling or Ruling()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        app = build_admin(self.database, self._ruling, self.live, self.clock)
        self._server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None, ws="none", loop="asyncio"))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        wait_until(lambda: self._server.started or not self._thread.is_alive())
        assert self._server.started
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()

    def client(self, key: str | None = ADMIN_KEY, **headers: str) -> httpx.Client:
        """An HTTP client of an administrator."""
        known = {"x-admin-key": key} if key else {}
        return httpx.Client(base_url=self.url, headers={**known, **headers}, timeout=30, trust_env=False)

    def do(self, coroutine: Any) -> Any:
        """Run something on the server's own loop, where its database is."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
            self._loop.close()

    async def _serve(self) -> None:
        async with self.database:
            await self._server.serve(sockets=[self._socket])
