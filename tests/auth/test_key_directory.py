"""API keys are looked up when something has changed, and remembered while nothing has."""

import pytest

from gateway.auth import key_directory
from gateway.auth.api_key import mint
from gateway.auth.key_directory import RECHECK_SECS, KeyDirectory, KeysUnavailableError
from gateway.core.principal import Principal
from tests.auth.catalog_by_hand import ACME, KEY, SECRET, CatalogByHand
from tests.core.hand_time import HandTime


class Desk:
    """A directory, its catalog and its time."""

    def __init__(self, secret: bytes = SECRET) -> None:
        self.catalog = CatalogByHand()
        self.time = HandTime()
        self.directory = KeyDirectory(self.catalog, secret, self.time)

    def show(self, key: bytes = KEY) -> Principal | None:
        """What the gateway makes of a request with that bearer."""
        known, shown, now = self.directory.bearers, b"Bearer " + key, self.time.now
        return self.directory.recall(known, shown, now) or self.directory.judge(known, shown, key, now)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_known_key_is_looked_up_once_as_long_as_nothing_is_published(desk: Desk) -> None:
    desk.catalog.add(KEY)
    assert [desk.show() for _ in range(5)] == [ACME] * 5
    assert desk.catalog.look_ups == 1
    desk.catalog.add(mint().encode())
    assert [desk.show() for _ in range(5)] == [ACME] * 5
    assert desk.catalog.look_ups == 2


def test_a_revoked_key_is_none_from_the_next_request_on(desk: Desk) -> None:
    desk.catalog.add(KEY)
    assert desk.show() == ACME
    desk.catalog.revoke(KEY)
    assert desk.show() is None
    assert desk.directory.bearers == {}


def test_what_a_key_allows_is_what_was_published_last(desk: Desk) -> None:
    desk.catalog.add(KEY)
    assert desk.show() == ACME
    other = Principal("org:other", models=frozenset({"qwen"}))
    desk.catalog.add(KEY, other)
    assert desk.show() == other


def test_a_publication_during_the_look_up_is_not_missed(desk: Desk) -> None:
    desk.catalog.add(KEY)
    look_up = desk.catalog.key

    def slow(digest: bytes) -> object:
        found = look_up(digest)
        desk.catalog.revoke(KEY)
        return found

    desk.catalog.key = slow  # type: ignore[method-assign,assignment]  # another process publishes just then
    assert desk.show() == ACME
    desk.catalog.key = look_up  # type: ignore[method-assign]  # as it was
    assert desk.show() is None


def test_a_malformed_key_never_reaches_the_catalog(desk: Desk) -> None:
    for key in (b"", b"sk-other", KEY[:-1], KEY + b"\0", KEY * 2500, b"gw-'\"\xff", KEY.swapcase()):
        assert desk.show(key) is None
    assert desk.catalog.look_ups == 0


def test_unknown_keys_are_looked_up_each_time_and_never_kept(desk: Desk) -> None:
    for number in range(1, 50):
        assert desk.show(mint().encode()) is None
        assert desk.catalog.look_ups == number
    assert desk.directory.bearers == {}


def test_a_key_ends_at_its_time_on_the_wall_clock(desk: Desk) -> None:
    desk.catalog.add(KEY, expires=desk.time.wall_now + 0.5)
    assert desk.show() == ACME
    desk.time.now += 0.499
    assert desk.show() == ACME
    desk.time.now += 0.002
    desk.time.wall_now += 0.501
    assert desk.show() is None
    assert desk.catalog.look_ups == 2


def test_a_wall_clock_that_was_set_is_noticed_within_a_second(desk: Desk) -> None:
    desk.catalog.add(KEY, expires=desk.time.wall_now + 1000)
    assert desk.show() == ACME
    desk.time.wall_now += 2000
    desk.time.now += RECHECK_SECS
    assert desk.show() is None


def test_a_key_is_none_before_its_time(desk: Desk) -> None:
    desk.catalog.add(KEY, starts=desk.time.wall_now + 5)
    assert desk.show() is None
    desk.time.wall_now += 5
    assert desk.show() == ACME


def test_a_silent_database_leaves_known_keys_alone_and_makes_unknown_ones_wait(desk: Desk) -> None:
    desk.catalog.add(KEY)
    desk.catalog.fresh = False
    assert desk.show() == ACME
    with pytest.raises(KeysUnavailableError) as refusal:
        desk.show(mint().encode())
    assert (refusal.value.status, refusal.value.code, refusal.value.retry_after) == (503, "keys_unavailable", 1.0)
    assert desk.show(b"sk-malformed") is None


def test_known_keys_end_when_the_catalog_is_too_old(desk: Desk) -> None:
    desk.catalog.add(KEY)
    desk.catalog.served_until = desk.time.now + 0.5
    desk.catalog.fresh = False
    assert desk.show() == ACME
    desk.time.now += 0.4
    assert desk.show() == ACME
    desk.time.now += 0.1
    with pytest.raises(KeysUnavailableError):
        desk.show()
    desk.catalog.served_until += 3600  # the database is back
    assert desk.show() == ACME


def test_a_catalog_that_cannot_be_read_refuses_nobody_for_good(desk: Desk) -> None:
    desk.catalog.add(KEY)
    desk.catalog.broken = True
    with pytest.raises(KeysUnavailableError) as refusal:
        desk.show()
    assert refusal.value.__suppress_context__
    desk.catalog.broken = False
    assert desk.show() == ACME


def test_without_the_secret_nobody_can_tell_what_is_a_key() -> None:
    desk = Desk(secret=b"")
    with pytest.raises(KeysUnavailableError):
        desk.show()
    assert desk.show(b"sk-malformed") is None


def test_what_is_remembered_is_bounded(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_directory, "MAX_REMEMBERED", 10)
    keys = [mint().encode() for _ in range(25)]
    for key in keys:
        desk.catalog.add(key)
    for key in keys:
        assert desk.show(key) == ACME
        assert len(desk.directory.bearers) <= 10


def test_a_canary_stands_in_no_failure(desk: Desk) -> None:
    desk.catalog.broken = True
    canary = mint().encode()
    with pytest.raises(KeysUnavailableError) as refusal:
        desk.show(canary)
    for said in (str(refusal.value), repr(refusal.value), repr(vars(refusal.value)), repr(refusal.value.__context__)):
        assert canary.decode()[3:] not in said
