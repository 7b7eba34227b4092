"""What one process publishes, others read at once: whole, in the last state that was finished, whatever dies."""

import os
import shutil
import signal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.catalog import environments
from gateway.catalog.errors import CatalogUnavailableError
from gateway.catalog.publisher import Publisher
from gateway.catalog.reader import LOOK_SECS, Catalog
from gateway.catalog.records import KeyEntry, decode_key, encode, key_record, organization_record
from gateway.catalog.settings import CatalogSettings
from gateway.core.clock import SystemClock
from gateway.core.principal import AccountLimits, Principal
from tests.catalog.entries import NOTHING, digest_of, entry
from tests.catalog.press import Child, child
from tests.core.hand_time import HandTime

ACME = AccountLimits(requests_per_minute=120, tokens_per_month=7)


def test_what_was_published_is_read(publisher: Child, catalog: Catalog) -> None:
    publisher("replace_all", keys=[entry(1), entry(2)], organizations={"org:acme": ACME}, models=b"registry")
    assert catalog.key(digest_of(1)) == entry(1)
    assert catalog.key(digest_of(2)) == entry(2)
    assert catalog.key(digest_of(3)) is None
    assert catalog.organization("org:acme") == ACME
    assert catalog.organization("org:other") is None
    assert catalog.models() == b"registry"


def test_changes_are_seen_as_soon_as_they_are_published_and_leave_the_rest(publisher: Child, catalog: Catalog) -> None:
    publisher("replace_all", keys=[entry(1), entry(2)], organizations={"org:acme": ACME}, models=b"registry")
    assert catalog.key(digest_of(1)) is not None
    changed = KeyEntry(digest_of(2), Principal(models=frozenset({"qwen"})), expires=7.5)
    publisher("publish", keys=[entry(3), changed], removed=[digest_of(1), digest_of(99)], organizations={})
    assert catalog.key(digest_of(1)) is None
    assert catalog.key(digest_of(2)) == changed
    assert catalog.key(digest_of(3)) == entry(3)
    assert catalog.organization("org:acme") == ACME
    assert catalog.models() == b"registry"
    publisher("publish", organizations={"org:acme": None}, models=b"")
    assert catalog.organization("org:acme") is None
    assert catalog.models() == b""


def test_who_has_opted_out_of_the_audit_is_known_until_it_is_taken_back(publisher: Child, catalog: Catalog) -> None:
    publisher("replace_all", **NOTHING, opted_out=["org:acme", "org:\ud800"])
    assert [catalog.opted_out(name) for name in ("org:acme", "org:\ud800", "org:other")] == [True, True, False]
    publisher("publish", opted_out={"org:acme": False, "org:other": True})
    assert [catalog.opted_out(name) for name in ("org:acme", "org:\ud800", "org:other")] == [False, True, True]
    publisher("replace_all", **NOTHING)
    assert not catalog.opted_out("org:other")


def test_each_publication_has_a_version_of_its_own(publisher: Child, catalog: Catalog) -> None:
    assert catalog.version() == 0
    seen = [publisher("replace_all", **NOTHING)]
    assert catalog.version() == seen[0] != 0
    for _ in range(3):
        seen.append(publisher("publish"))
        assert catalog.version() == seen[-1]
    seen.append(publisher("replace_all", **NOTHING))
    assert len(set(seen)) == len(seen)


def test_a_reader_that_came_first_sees_what_comes(folder: Path, catalog: Catalog) -> None:
    version = catalog.version
    with pytest.raises(CatalogUnavailableError, match="nothing was published"):
        catalog.key(digest_of(1))
    assert not catalog.fresh
    with child("publisher", folder) as publisher:
        publisher("open")
        publisher("replace_all", keys=[entry(1)], organizations={}, models=b"")
        assert version() == catalog.version() != 0  # the page is the same one: nobody had to look for it
        assert catalog.key(digest_of(1)) == entry(1)


def test_what_can_be_known_is_known_when_it_was_published_or_the_database_was_asked_in_vain(
    folder: Path, publisher: Child, catalog: Catalog
) -> None:
    assert not catalog.settled
    publisher("miss")
    assert catalog.settled
    publisher.kill()
    with child("publisher", folder) as another:
        another("open")
        assert not catalog.settled
        another("replace_all", **NOTHING)
        assert catalog.settled
    with child("publisher", folder) as third:
        third("open")
        assert catalog.settled


def test_what_was_published_ages_from_the_databases_last_answer(
    publisher: Child, catalog: Catalog, time_by_hand: HandTime
) -> None:
    publisher("beat")
    assert not catalog.fresh  # the database answers, but nothing was read from it yet
    publisher("replace_all", **NOTHING)
    assert catalog.fresh
    until = catalog.served_until
    assert time_by_hand.now + 3590 < until < time_by_hand.now + 3610
    time_by_hand.advance(20)
    assert not catalog.fresh
    assert catalog.served_until == until
    time_by_hand.now -= 20
    publisher("beat")
    assert catalog.fresh
    assert catalog.served_until > until


def test_known_keys_may_be_served_for_ever(folder: Path) -> None:
    with Catalog(folder, CatalogSettings(keys_max_age_secs=0), HandTime()) as catalog:
        assert catalog.served_until == float("inf")


def test_one_process_publishes_at_a_time_and_the_next_one_takes_over(folder: Path, catalog: Catalog) -> None:
    with child("publisher", folder) as first, child("publisher", folder) as second:
        assert first("open")
        first("replace_all", keys=[entry(1)], organizations={}, models=b"")
        assert not second("open")
        with pytest.raises(CatalogUnavailableError, match="is not open"):
            second("beat")
        first.kill()
        assert second("open")
        assert catalog.key(digest_of(1)) == entry(1)  # what the first one said holds until the second one speaks
        with pytest.raises(CatalogUnavailableError, match="begins with all there is"):
            second("publish", removed=[digest_of(1)])
        version = catalog.version()
        second("replace_all", keys=[entry(2)], organizations={}, models=b"")
        assert catalog.version() != version
        assert catalog.key(digest_of(1)) is None
        assert catalog.key(digest_of(2)) == entry(2)
    assert len(environments.found(folder)) == 1


def test_a_publisher_killed_in_a_transaction_leaves_the_last_state(folder: Path, catalog: Catalog) -> None:
    with child("publisher", folder) as publisher:
        publisher("open")
        publisher("replace_all", keys=[entry(1)], organizations={}, models=b"whole")
        assert catalog.models() == b"whole"
        version = catalog.version()
        with pytest.raises((EOFError, ConnectionError)):
            publisher("die_in_a_transaction", b"m")
    assert (catalog.version(), catalog.models()) == (version, b"whole")
    with child("reader", folder) as another:
        another("open")
        assert another("models") == b"whole"
    with child("publisher", folder) as publisher:
        assert publisher("open")
        publisher("replace_all", keys=[], organizations={}, models=b"next")
        assert catalog.models() == b"next"


def test_a_killed_publishers_unfinished_environment_is_removed(folder: Path, catalog: Catalog) -> None:
    (folder / "7").mkdir(mode=0o700)
    (folder / "7" / "data.mdb").write_bytes(b"half an environment")
    with child("publisher", folder) as publisher:
        publisher("open")
        publisher("replace_all", keys=[entry(1)], organizations={}, models=b"")
        assert catalog.key(digest_of(1)) == entry(1)
        assert len(environments.found(folder)) == 1
        assert not (folder / "7").exists()


@pytest.mark.parametrize("damage", [b"", b"\xff" * 8192, b"\x00" * 8192], ids=["cut", "garbage", "zeros"])
@pytest.mark.parametrize("where", ["head", "data"])
def test_damage_is_replaced_and_never_believed(folder: Path, where: str, damage: bytes) -> None:
    with child("publisher", folder) as publisher:
        publisher("open")
        publisher("replace_all", keys=[entry(1)], organizations={}, models=b"")
        publisher("beat")
    (number,) = environments.found(folder)
    path = folder / "head" if where == "head" else folder / str(number) / "data.mdb"
    if damage:
        path.write_bytes(damage + path.read_bytes()[len(damage) :])
    else:
        os.truncate(path, 12)
    with child("reader", folder) as reader:  # in a process of its own: what LMDB believes may kill whoever reads it
        reader("open")
        with pytest.raises(CatalogUnavailableError):
            reader("key", digest_of(1))
        with child("publisher", folder) as publisher:
            assert publisher("open")
            publisher("replace_all", keys=[entry(2)], organizations={}, models=b"")
            assert reader("key", digest_of(2)) == entry(2)
            assert reader("key", digest_of(1)) is None


def test_a_record_that_stands_for_another_or_for_nothing_is_not_believed(publisher: Child, catalog: Catalog) -> None:
    publisher("replace_all", **NOTHING)
    publisher("plant", key_record(digest_of(2)), encode(entry(1)))
    publisher("plant", key_record(digest_of(3)), b"\xc1 no MessagePack")
    with pytest.raises(CatalogUnavailableError, match="not what it stands for"):
        catalog.key(digest_of(2))
    with pytest.raises(CatalogUnavailableError, match="cannot be read"):
        catalog.key(digest_of(3))


def test_a_removed_catalog_is_found_again_when_somebody_publishes(
    folder: Path, catalog: Catalog, time_by_hand: HandTime
) -> None:
    with child("publisher", folder) as publisher:
        publisher("open")
        publisher("replace_all", keys=[entry(1)], organizations={}, models=b"")
        assert catalog.key(digest_of(1)) == entry(1)
    shutil.rmtree(folder)
    with child("publisher", folder) as publisher:
        publisher("open")
        publisher("replace_all", keys=[entry(2)], organizations={}, models=b"")
        assert catalog.key(digest_of(2)) is None  # it still reads what was removed
        time_by_hand.advance(2 * LOOK_SECS)
        assert catalog.key(digest_of(2)) == entry(2)
        assert catalog.key(digest_of(1)) is None


def blocks(folder: Path) -> int:
    """Bytes of memory that the environment takes."""
    (number,) = environments.found(folder)
    return (folder / str(number) / "data.mdb").stat().st_blocks * 512


def grown(folder: Path, publisher: Child, first: int) -> int:
    """By how many bytes 200 publications make the environment grow."""
    before = blocks(folder)
    for number in range(first, first + 200):
        publisher("publish", keys=[entry(number)], removed=[digest_of(number - 1)])
    return blocks(folder) - before


def test_a_reader_that_is_stopped_keeps_no_old_pages(folder: Path, publisher: Child) -> None:
    publisher("replace_all", keys=[entry(number) for number in range(1000)], organizations={}, models=b"")
    with child("reader", folder) as reader:
        reader("open")
        assert reader("key", digest_of(1)) == entry(1)
        os.kill(reader.pid, signal.SIGSTOP)
        stopped = grown(folder, publisher, 1000)
        os.kill(reader.pid, signal.SIGCONT)
        reader("pin")
        pinned = grown(folder, publisher, 2000)
    assert stopped < 200_000
    assert pinned > 5 * stopped  # what it would be if a look-up left its transaction open


def test_a_reader_that_died_over_a_look_up_keeps_no_old_pages(folder: Path, publisher: Child) -> None:
    publisher("replace_all", keys=[entry(number) for number in range(1000)], organizations={}, models=b"")
    with child("reader", folder) as reader:
        reader("open")
        reader("pin")
        reader.kill()
    assert grown(folder, publisher, 1000) < 200_000


def test_a_key_takes_less_than_200_bytes(folder: Path, publisher: Child) -> None:
    publisher("replace_all", keys=[entry(number) for number in range(10_000)], organizations={}, models=b"")
    assert blocks(folder) < 10_000 * 200


def test_pages_that_somebody_keeps_cost_a_new_environment_at_last_and_no_publication(folder: Path) -> None:
    with child("publisher", folder) as publisher, child("reader", folder) as reader:
        publisher("open")
        publisher("replace_all", keys=[entry(number) for number in range(100)], organizations={}, models=b"x" * 10_000)
        reader("open")
        reader("pin")
        before = environments.found(folder)
        blob = b"y" * 30 * 2**20
        for number in range(12):  # each leaves 30 MiB that the reader keeps, in a map of 256
            publisher("publish", models=blob + bytes((number,)))
            assert reader("key", digest_of(1)) == entry(1)
        assert environments.found(folder) != before
        assert reader("models")[-1] == 11


def test_what_finds_no_room_changes_nothing(publisher: Child, catalog: Catalog) -> None:
    publisher("replace_all", keys=[entry(1)], organizations={}, models=b"")
    assert catalog.key(digest_of(1)) == entry(1)
    version = catalog.version()
    with pytest.raises(CatalogUnavailableError, match="cannot be written"):
        publisher("publish", keys=[entry(2)], models=b"x" * (environments.MAP_BYTES + 1))
    with pytest.raises(CatalogUnavailableError, match="cannot be written"):
        publisher("replace_all", keys=[], organizations={}, models=b"x" * (environments.MAP_BYTES + 1))
    assert catalog.version() == version
    assert catalog.key(digest_of(1)) == entry(1)
    publisher("publish", keys=[entry(2)])
    assert catalog.key(digest_of(2)) == entry(2)


def test_a_folder_that_others_may_enter_is_not_used(folder: Path) -> None:
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    with pytest.raises(CatalogUnavailableError, match="mode 0700"):
        Publisher(folder, SystemClock()).open()
    with (
        Catalog(folder, CatalogSettings(), HandTime()) as catalog,
        pytest.raises(CatalogUnavailableError, match="nothing was published"),
    ):
        catalog.key(digest_of(1))


def test_all_that_is_made_is_this_users_alone(folder: Path, publisher: Child) -> None:
    publisher("replace_all", **NOTHING)
    for path in (folder.parent, folder, *folder.rglob("*")):
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_closed_catalog_says_nothing(publisher: Child, catalog: Catalog) -> None:
    publisher("replace_all", keys=[entry(1)], organizations={}, models=b"")
    assert catalog.key(digest_of(1)) is not None
    catalog.close()
    assert catalog.version() == 0
    with pytest.raises(CatalogUnavailableError):
        catalog.key(digest_of(1))


limits = st.builds(AccountLimits, *[st.integers(0, 2**62)] * 6)
principals = st.builds(
    Principal,
    organization=st.text(max_size=80),
    models=st.none() | st.frozensets(st.text(max_size=20), max_size=4),
    limits=limits,
    concurrency=st.integers(0, 10_000),
    priority=st.integers(-10, 10),
)


@given(st.builds(KeyEntry, st.binary(min_size=32, max_size=32), principals, st.floats(0, 1e12), st.floats(0, 1e12)))
def test_a_key_is_read_as_it_was_written(written: KeyEntry) -> None:
    assert decode_key(encode(written)) == written


@given(st.text(), st.text())
def test_organizations_have_records_of_their_own_however_long_their_names(one: str, other: str) -> None:
    assert (organization_record(one) == organization_record(other)) is (one == other)
    assert len(organization_record(one * 100)) == 17


@pytest.mark.parametrize(
    ("starts", "expires", "wall", "valid"),
    [
        (0, 0, 0, True),
        (0, 10, 9.99, True),
        (0, 10, 10, False),
        (5, 10, 4.9, False),
        (5, 10, 5, True),
        (5, 0, 1e12, True),
    ],
)
def test_a_key_is_valid_from_its_start_up_to_its_end(
    starts: float, expires: float, wall: float, *, valid: bool
) -> None:
    assert entry(1, starts=starts, expires=expires).valid_at(wall) is valid
