"""What is published is in force at the next look, and what cannot be read changes nothing."""

from collections.abc import Callable

import pytest

from gateway.backends.roster import Roster
from gateway.catalog.errors import CatalogUnavailableError
from gateway.database.rows import Backend, Model
from gateway.fleet.edition import Rows, compose
from gateway.fleet.live import LiveFleet
from tests.fleet.test_merge import CODER, CODER0, STATIC


class Shelf:
    """A catalog in the test's hands."""

    def __init__(self) -> None:
        self.count = 0
        self.blob = b""
        self.gone = False

    def publish(self, models: bytes | None = None) -> None:
        self.count += 1
        if models is not None:
            self.blob = models

    @property
    def version(self) -> Callable[[], int]:
        return lambda: self.count

    def look(self) -> None:
        pass

    def models(self) -> bytes:
        if self.gone:
            raise CatalogUnavailableError("it is gone")
        return self.blob


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


def blob(*rows: Model | Backend) -> bytes:
    models = [row for row in rows if isinstance(row, Model)]
    return compose(STATIC, Rows(models, [row for row in rows if isinstance(row, Backend)]), now=1.0, rest_secs=60.0)


def names(live: LiveFleet) -> list[str]:
    return [group.name for group in live.groups]


def test_an_edition_is_in_force_whole_and_a_version_tells_one_from_another(shelf: Shelf) -> None:
    live, other = LiveFleet(STATIC, shelf), LiveFleet(STATIC, shelf)
    told: list[Roster] = []
    live.listen(told.append)
    began, versions = live.roster, [live.version]
    live.refresh()
    assert (live.roster, told) == (began, [])
    shelf.publish(blob(CODER, CODER0))
    live.refresh()
    assert names(live) == ["chat", "text2sql", "coder"]
    assert told == [live.roster]
    assert [group.name for group in began.groups] == ["chat", "text2sql"], "who has the old one keeps it"
    other.refresh()
    assert other.version == live.version
    versions.append(live.version)
    shelf.publish(b"")
    live.refresh()
    assert names(live) == ["chat", "text2sql"]
    assert [live.version, len({*versions})] == [versions[0], 2]


def test_a_publication_of_something_else_makes_no_new_fleet(shelf: Shelf) -> None:
    live = LiveFleet(STATIC, shelf)
    shelf.publish(blob(CODER, CODER0))
    live.refresh()
    before = live.roster
    shelf.publish()
    live.refresh()
    assert live.roster is before


def test_what_cannot_be_read_leaves_the_last_fleet_in_force(shelf: Shelf, caplog: pytest.LogCaptureFixture) -> None:
    live = LiveFleet(STATIC, shelf)
    shelf.publish(blob(CODER, CODER0))
    live.refresh()
    shelf.publish(b"\xff")
    live.refresh()
    assert "coder" in names(live)
    assert "models_unreadable" in caplog.text
    shelf.gone = True
    shelf.publish(b"")
    live.refresh()
    assert "coder" in names(live)
    shelf.gone = False
    live.refresh()
    assert "coder" not in names(live)


def test_without_a_catalog_the_settings_are_all_there_is() -> None:
    live = LiveFleet(STATIC, None)
    live.refresh()
    assert live.roster is STATIC
