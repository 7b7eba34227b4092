"""A flood is said once a minute, with the name of whoever lost the most, and nothing of it stays unsaid."""

import logging

import pytest

from gateway.audit import given_up
from gateway.audit.given_up import SAY_SECS, GivenUp
from tests.core.hand_time import HandTime

Line = tuple[str, int, int]


def lines(caplog: pytest.LogCaptureFixture) -> list[Line]:
    told = [vars(record) for record in caplog.records if record.levelno == logging.WARNING]
    return [(one["organization"], one["its_records"], one["all_records"]) for one in told]


def test_the_first_is_said_at_once_and_the_others_together(caplog: pytest.LogCaptureFixture) -> None:
    time = HandTime()
    given = GivenUp(time)
    given.note("org:a")
    assert lines(caplog) == [("org:a", 1, 1)]
    for name in ("org:a", "org:b", "org:b"):
        given.note(name)
    assert len(lines(caplog)) == 1
    time.now += SAY_SECS
    given.note("org:b")
    assert lines(caplog)[1:] == [("org:b", 3, 4)]
    given.note("org:c")
    given.say()
    given.say()
    assert lines(caplog)[2:] == [("org:c", 1, 1)]


def test_names_are_bounded_and_all_records_counted(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(given_up, "MAX_NAMES", 3)
    given = GivenUp(HandTime())
    for number in range(10):
        given.note(f"org:{number}")
    given.say()
    assert [line[2] for line in lines(caplog)] == [1, 9]


def test_whoever_finds_no_room_for_its_name_is_not_the_one_that_is_told(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(given_up, "MAX_NAMES", 2)
    given = GivenUp(HandTime())
    for name in ("org:first", "org:a", "org:b", "org:b", "org:late", "org:late", "org:late"):
        given.note(name)
    given.say()
    assert lines(caplog)[1:] == [("org:b", 2, 6)]
