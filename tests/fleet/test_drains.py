"""A drain is of a server: of one that two hosts share it is for both, whatever each calls it, of another for one."""

import pytest

from gateway.backends.choices import BackendsShared
from gateway.core.fleet import Backend
from gateway.fleet.drains import Drains

SHARED = "http://10.0.0.5:8000"
LOCAL = "http://chat0:8000"


def hosts(shared: BackendsShared = BackendsShared.AUTO) -> tuple[Drains, Drains]:
    return Drains(shared, "a1"), Drains(shared, "b2")


def test_a_server_of_both_hosts_is_drained_on_both_by_whatever_name() -> None:
    one, other = hosts()
    listed = {one.server_of("chat0", SHARED)}
    assert one.drained([Backend("chat0", SHARED), Backend("chat1", LOCAL)], listed) == {"chat0"}
    assert other.drained([Backend("chat0", LOCAL), Backend("chat1", SHARED)], listed) == {"chat1"}


def test_the_spelling_of_a_url_makes_no_other_server_of_it() -> None:
    one, other = hosts()
    assert one.server_of("chat0", f"{SHARED.upper()}/ ") == other.server_of("chat0", SHARED)


@pytest.mark.parametrize(
    ("shared", "url"), [(BackendsShared.AUTO, LOCAL), (BackendsShared.OFF, SHARED), (BackendsShared.OFF, LOCAL)]
)
def test_a_server_of_each_host_is_drained_on_the_host_that_was_told(shared: BackendsShared, url: str) -> None:
    one, other = hosts(shared)
    listed = {one.server_of("chat0", url)}
    assert one.drained([Backend("chat0", url)], listed) == {"chat0"}
    assert other.drained([Backend("chat0", url)], listed) == frozenset()


def test_the_only_host_of_a_database_goes_by_names() -> None:
    alone = Drains(BackendsShared.AUTO, "")
    assert alone.server_of("chat0", SHARED) == "chat0"


def test_what_an_earlier_release_has_drained_by_its_name_is_drained_everywhere() -> None:
    for host in hosts():
        assert host.drained([Backend("chat0", SHARED), Backend("chat1", LOCAL)], {"chat0", "chat1"}) == {
            "chat0",
            "chat1",
        }
