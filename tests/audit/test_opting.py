"""Whose texts are kept is asked once for each edition of the catalog; when nobody can tell, none are."""

from collections.abc import Callable

from gateway.audit import opting
from gateway.audit.opting import OptOuts
from gateway.catalog.errors import CatalogUnavailableError


class Known:
    """A catalog of opt-outs, which counts how often it was asked."""

    def __init__(self, *names: str) -> None:
        self.names = set(names)
        self.number = 1
        self.asked = 0
        self.away = False

    @property
    def version(self) -> Callable[[], int]:
        return lambda: self.number

    def opted_out(self, name: str) -> bool:
        self.asked += 1
        if self.away:
            raise CatalogUnavailableError("nothing was published")
        return name in self.names


def test_it_is_asked_once_for_each_edition() -> None:
    catalog = Known("org:acme")
    outs = OptOuts(catalog)
    assert [outs("org:acme"), outs("org:other"), outs("org:acme"), outs("org:other")] == [True, False, True, False]
    assert catalog.asked == 2
    catalog.names, catalog.number = {"org:other"}, 2
    assert [outs("org:acme"), outs("org:other")] == [False, True]


def test_when_nobody_can_tell_no_text_is_kept() -> None:
    catalog = Known()
    catalog.away = True
    outs = OptOuts(catalog)
    assert outs("org:acme")
    catalog.away = False
    assert not outs("org:acme")


def test_without_a_catalog_nobody_can_have() -> None:
    assert not OptOuts(None)("org:acme")


def test_what_is_remembered_is_bounded() -> None:
    outs = OptOuts(Known())
    for number in range(2 * opting.MAX_REMEMBERED + 10):
        outs(f"ip:{number}")
    assert len(outs._known) <= opting.MAX_REMEMBERED
