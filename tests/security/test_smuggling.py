"""Can a request hide in another one? A corpus is sent to nginx and straight to the gateway; a ledger says what ran."""

import re

import pytest

from tests.security.framings import AMBIGUOUS, FRAMED_IN_A_TRAILER, HIDDEN, PLAIN, UNREAD
from tests.security.house import House, asking

DOORS = ("nginx", "gateway")


def statuses(received: bytes) -> list[int]:
    """Of the final answers, in their order."""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 ([2-5]\d\d) ", received)]


def pieces(data: bytes) -> tuple[bytes, bytes]:
    """What stands before the hidden request, and the rest."""
    begin = data.index(HIDDEN)
    return data[:begin], data[begin:]


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("data", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
def test_what_can_be_read_in_two_ways_is_refused_and_runs_in_neither(house: House, door: str, data: bytes) -> None:
    received = house.converse(door, *pieces(data))
    assert statuses(received)[0] in {400, 415}, received
    house.serves()
    assert house.ran() == []


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("data", UNREAD.values(), ids=UNREAD.keys())
def test_a_body_that_nobody_reads_is_never_the_next_request(house: House, door: str, data: bytes) -> None:
    received = house.converse(door, *pieces(data))
    assert statuses(received)[0] in {200, 400, 401, 403, 404, 405, 415}, received
    house.serves()
    assert house.ran() == []


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("data", PLAIN.values(), ids=PLAIN.keys())
def test_what_can_be_read_in_one_way_runs_once_and_as_it_was_meant(house: House, door: str, data: bytes) -> None:
    received = house.converse(door, data)
    assert statuses(received)[0] == 200, received
    house.serves()
    assert house.ran() == ["outer"]


@pytest.mark.parametrize("door", DOORS)
def test_a_request_that_does_not_hide_is_seen_to_run(house: House, door: str) -> None:
    """Else the corpus would prove nothing: sent by itself, and behind an answer, what it hides runs."""
    house.converse(door, asking("first"), HIDDEN, pause=30)
    assert house.ran() == ["first", "hidden"]


def test_bare_line_feeds_are_put_right_by_nginx_and_refused_by_the_gateway(house: House) -> None:
    data = asking("outer").replace(b"\r\n", b"\n")
    assert statuses(house.converse("gateway", data))[0] == 400
    assert house.ran() == []
    assert statuses(house.converse("nginx", data))[0] == 200
    assert house.ran() == ["outer"]


def test_framing_in_a_trailer_is_dropped_by_nginx_and_refused_by_the_gateway(house: House) -> None:
    assert statuses(house.converse("gateway", FRAMED_IN_A_TRAILER)) == [400]
    assert house.ran() == []
    assert statuses(house.converse("nginx", FRAMED_IN_A_TRAILER)) == [200, 200]
    assert house.ran() == ["outer"]
