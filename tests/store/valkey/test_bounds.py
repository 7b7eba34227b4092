"""However many organizations come, what the server keeps of them is bounded, and none of it stays for ever."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from gateway.core.clock import SystemClock
from gateway.core.principal import UNLIMITED, AccountLimits
from gateway.store.accounts import Claim, OverLimitError, Will
from gateway.store.choices import StoreKind
from gateway.store.memory import MemoryStore
from gateway.store.protocol import Bucket
from gateway.store.settings import StoreSettings
from gateway.store.valkey.scripts import EVERYBODYS, LAYOUT
from gateway.store.valkey.store import ValkeyStore
from tests.store.spending import TODAY
from tests.store.valkey.server import Server, running

pytestmark = pytest.mark.anyio

MOST = 100
STAY = {EVERYBODYS[1], LAYOUT + b"{workers}", LAYOUT + b"{workers}:epoch"}
"""One of each for all hosts together."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as server:
        yield server


@pytest.fixture
async def store(server: Server, directory: Path) -> AsyncIterator[ValkeyStore]:
    server.ask("FLUSHALL")
    settings = StoreSettings(
        limiter_store=StoreKind.MEMORY,
        limiter_path=directory,
        max_tracked_organizations=MOST,
        redis_url=SecretStr(server.url),
        redis_timeout_ms=1000,
    )
    clock = SystemClock()
    store = ValkeyStore(settings, clock, MemoryStore(settings, clock))
    await store.open()
    yield store
    await store.close()


async def request(store: ValkeyStore, organization: str, limits: AccountLimits = UNLIMITED) -> None:
    """Everything that one request asks the server."""
    await store.take(organization, Bucket(50.0, 2.0))
    grant = await store.acquire(organization, limit=1, max_queued=1, patience=20)
    claims = (Claim(organization, limits),)
    held = await store.accounts.reserve(claims, tokens=10, windows=TODAY, will=Will(0, b""))
    store.accounts.settle(held, requests=1, tokens=10, record=None)
    store.release(grant)
    await store.accounts.standing(organization, TODAY)  # which tells the server first what has ended


async def test_a_flood_of_organizations_leaves_so_many_accounts_and_a_quota_that_is_used_up_stays(
    store: ValkeyStore, server: Server
) -> None:
    poor = AccountLimits(requests_per_day=3)
    for _ in range(3):
        await request(store, "org:poor", poor)
    for number in range(5 * MOST):
        await request(store, f"ip:2001:db8:{number:x}::/64")
    assert server.ask("SCARD", EVERYBODYS[0]) == MOST
    accounts = server.ask("KEYS", LAYOUT + b"*:account")
    assert len(accounts) <= MOST
    with pytest.raises(OverLimitError):
        await store.accounts.reserve((Claim("org:poor", poor),), tokens=10, windows=TODAY, will=Will(0, b""))
    await store._beat()  # tags under which nothing is left are given up
    mine = LAYOUT + b"{worker:"
    left = [key for key in server.ask("KEYS", LAYOUT + b"*") if key not in STAY and not key.startswith(mine)]
    assert all(server.ask("PTTL", key) != -1 for key in left)


async def test_an_organization_whose_request_runs_is_not_forgotten(store: ValkeyStore) -> None:
    claims = (Claim("ip:192.0.2.1", UNLIMITED),)
    held = await store.accounts.reserve(claims, tokens=1, windows=TODAY, will=Will(0, b""))
    for number in range(3 * MOST):
        await request(store, f"ip:2001:db8:{number:x}::/64")
    store.accounts.settle(held, requests=1, tokens=7, record=None)
    standing = await store.accounts.standing("ip:192.0.2.1", TODAY)
    assert (standing.day_requests, standing.day_tokens) == (1, 7)


async def test_what_runs_in_a_keys_account_that_is_forgotten_counts_when_it_ends(
    store: ValkeyStore, server: Server
) -> None:
    claims = (Claim("ip:192.0.2.1", UNLIMITED), Claim("key:1", UNLIMITED))
    held = await store.accounts.reserve(claims, tokens=10, windows=TODAY, will=Will(0, b""))
    assert server.ask("DEL", LAYOUT + b"{o:key:1}:account") == 1
    store.accounts.settle(held, requests=1, tokens=7, record=None)
    for claim in claims:
        standing = await store.accounts.standing(claim.account, TODAY)
        assert (standing.day_requests, standing.month_tokens) == (1, 7)


async def test_accounts_whose_time_is_over_make_room_first(store: ValkeyStore, server: Server) -> None:
    for number in range(MOST):
        await request(store, f"ip:2001:db8:{number:x}::/64")
    for key in server.ask("KEYS", LAYOUT + b"*:account"):
        server.ask("DEL", key)  # as when they end
    for number in range(20):
        await request(store, f"ip:203.0.113.{number}")
    assert len(server.ask("KEYS", LAYOUT + b"*:account")) == 20
