"""Paths, methods and keys are asked for in this order, and wrong keys wear their address out."""

import pytest

from gateway.auth.address import AddressBook
from gateway.auth.key_directory import KeyDirectory, KeysUnavailableError
from gateway.auth.keyring import Keyring
from gateway.core.asgi import Headers, Scope, fields_of
from gateway.core.context import CONTEXT_KEY, RequestContext
from gateway.core.endpoint import Endpoint
from gateway.core.errors import InvalidApiKeyError, MethodNotAllowedError, NotFoundError, RateLimitedError
from gateway.core.principal import MASTER, Principal
from gateway.limits.settings import LimitsSettings
from gateway.limits.token_bucket import FailedAuthLimiter
from gateway.middleware.authenticate import Authenticate
from gateway.middleware.request_scope import UNKNOWN
from gateway.store.memory import MemoryStore
from gateway.store.settings import StoreSettings
from tests.auth.catalog_by_hand import ACME, SECRET, CatalogByHand
from tests.auth.catalog_by_hand import KEY as API_KEY
from tests.core.hand_time import HandTime
from tests.core.requests import CHAT, HEALTH, MESSAGES, Told, context, nothing_to_receive, scope_of

pytestmark = pytest.mark.anyio

KEY: Headers = [(b"authorization", b"Bearer sk-right")]
WRONG: Headers = [(b"authorization", b"Bearer sk-wrong")]


class Door:
    """The layer with one key and two failures a minute, and what passed it."""

    def __init__(self) -> None:
        self.passed: list[RequestContext] = []
        settings = LimitsSettings(failed_auth_per_sec=1 / 30, failed_auth_burst=2)
        failures = FailedAuthLimiter(settings, MemoryStore(StoreSettings(), HandTime()))
        book = AddressBook(["10.0.0.0/8"])
        self.catalog = CatalogByHand()
        keyring = Keyring(["sk-right"], KeyDirectory(self.catalog, SECRET, HandTime()))
        self._layer = Authenticate(self._app, book, keyring, failures)

    async def _app(self, scope: Scope, *_: object) -> None:
        self.passed.append(scope[CONTEXT_KEY])

    async def visit(
        self, endpoint: Endpoint, headers: Headers, *, peer: str = "203.0.113.7", method: str = "POST"
    ) -> RequestContext:
        ctx = context(endpoint, peer=peer, method=method, fields=fields_of(headers))
        await self._layer({**scope_of(headers=headers), CONTEXT_KEY: ctx}, nothing_to_receive, Told())
        return ctx


async def test_the_right_key_passes_and_names_the_organization() -> None:
    door = Door()
    ctx = await door.visit(CHAT, KEY)
    assert door.passed == [ctx]
    assert (ctx.client_ip, ctx.organization) == ("203.0.113.7", "ip:203.0.113.7")


async def test_the_organization_is_the_client_that_a_trusted_proxy_saw() -> None:
    ctx = await Door().visit(CHAT, [*KEY, (b"x-forwarded-for", b"1.1.1.1, 198.51.100.9")], peer="10.0.0.3")
    assert ctx.organization == "ip:198.51.100.9"


async def test_an_open_path_asks_for_no_key() -> None:
    door = Door()
    await door.visit(HEALTH, [], method="GET")
    assert len(door.passed) == 1


async def test_an_unknown_path_is_404_even_without_a_key() -> None:
    door = Door()
    with pytest.raises(NotFoundError):
        await door.visit(UNKNOWN, [])
    assert door.passed == []


async def test_a_method_that_a_path_does_not_have_is_405_and_names_those_it_has() -> None:
    with pytest.raises(MethodNotAllowedError, match="GET or HEAD") as refusal:
        await Door().visit(HEALTH, [], method="DELETE")
    assert refusal.value.headers == [(b"allow", b"GET, HEAD")]


@pytest.mark.parametrize("headers", [[], WRONG, [(b"x-api-key", b"sk-right")]], ids=["none", "wrong", "misplaced"])
async def test_no_other_key_passes(headers: Headers) -> None:
    door = Door()
    with pytest.raises(InvalidApiKeyError):
        await door.visit(CHAT, headers)
    assert door.passed == []


async def test_anthropics_header_opens_anthropics_paths() -> None:
    door = Door()
    await door.visit(MESSAGES, [(b"x-api-key", b"sk-right")])
    assert len(door.passed) == 1


async def test_wrong_keys_get_429_at_last_and_lock_nobody_else_out() -> None:
    door = Door()
    for _ in range(2):
        with pytest.raises(InvalidApiKeyError):
            await door.visit(CHAT, WRONG)
    with pytest.raises(RateLimitedError) as refusal:
        await door.visit(CHAT, WRONG)
    assert refusal.value.retry_after == pytest.approx(30)
    assert refusal.value.__context__ is None
    with pytest.raises(InvalidApiKeyError):
        await door.visit(CHAT, WRONG, peer="203.0.113.8")
    await door.visit(CHAT, KEY)
    assert len(door.passed) == 1


async def test_the_gateways_own_key_counts_for_the_address() -> None:
    ctx = await Door().visit(CHAT, KEY)
    assert ctx.principal is MASTER
    assert ctx.organization == "ip:203.0.113.7"


async def test_an_api_key_counts_for_its_organization_wherever_it_comes_from() -> None:
    door = Door()
    door.catalog.add(API_KEY)
    for peer in ("203.0.113.7", "203.0.113.8"):
        ctx = await door.visit(CHAT, [(b"authorization", b"Bearer " + API_KEY)], peer=peer)
        assert (ctx.organization, ctx.client_ip, ctx.principal) == ("org:acme", peer, ACME)


async def test_an_api_key_without_an_organization_counts_for_the_address() -> None:
    door = Door()
    door.catalog.add(API_KEY, Principal("", "key2"))
    ctx = await door.visit(MESSAGES, [(b"x-api-key", API_KEY)])
    assert (ctx.organization, ctx.principal.key_id) == ("ip:203.0.113.7", "key2")


async def test_a_revoked_key_drains_the_bucket_of_the_address_and_not_of_its_organization() -> None:
    door = Door()
    door.catalog.add(API_KEY)
    shown: Headers = [(b"authorization", b"Bearer " + API_KEY)]
    await door.visit(CHAT, shown)
    door.catalog.revoke(API_KEY)
    for _ in range(2):
        with pytest.raises(InvalidApiKeyError):
            await door.visit(CHAT, shown)
    with pytest.raises(RateLimitedError):
        await door.visit(CHAT, shown)
    with pytest.raises(InvalidApiKeyError):
        await door.visit(CHAT, shown, peer="203.0.113.8")


async def test_a_key_that_cannot_be_judged_counts_as_no_failure() -> None:
    door = Door()
    door.catalog.fresh = False
    for _ in range(5):
        with pytest.raises(KeysUnavailableError):
            await door.visit(CHAT, [(b"authorization", b"Bearer " + API_KEY)])
    with pytest.raises(InvalidApiKeyError):
        await door.visit(CHAT, WRONG)
