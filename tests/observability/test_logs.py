"""The gateway's own words: in the operator's form and level, and a library's words beside them."""

import logging
import re
import sys
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from gateway.observability.choices import LogFormat, LogLevel
from gateway.observability.logs import build_logger, wants_console
from gateway.observability.settings import ObservabilitySettings


class Lines:
    """Stands in for the writer."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def write(self, line: bytes) -> None:
        self.lines.append(line)

    @property
    def events(self) -> list[dict[str, Any]]:
        return [orjson.loads(line) for line in self.lines]


@pytest.fixture
def lines() -> Lines:
    return Lines()


@pytest.fixture(autouse=True)
def root() -> Iterator[None]:
    """Logging is the process's: what a test makes of it ends with the test."""
    logger, own = logging.getLogger(), logging.getLogger("gateway")
    before = logger.handlers, logger.level, own.level
    yield
    logger.handlers, logger.level, own.level = before


def divide(text: str) -> float:
    return len(text) / 0


def raise_with(text: str) -> None:
    raise ValueError(text)


def build(lines: Lines, level: LogLevel = LogLevel.INFO, form: LogFormat = LogFormat.JSON) -> Any:
    writer: Any = lines
    return build_logger(ObservabilitySettings(log_level=level, log_format=form), writer)


def test_an_event_is_one_line_of_json(lines: Lines) -> None:
    build(lines).info("backend_changed", backend="chat0", reason="a\nb")
    assert lines.lines[0].count(b"\n") == 1
    (event,) = lines.events
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", event.pop("timestamp"))
    assert event == {"event": "backend_changed", "level": "info", "backend": "chat0", "reason": "a\nb"}


@pytest.mark.parametrize("level", list(LogLevel))
def test_what_is_below_the_level_is_not_said(lines: Lines, level: LogLevel) -> None:
    log = build(lines, level)
    order = ["debug", "info", "warning", "error"]
    for name in order:
        getattr(log, name)("x")
    assert [event["level"] for event in lines.events] == order[order.index(level) :]


def test_what_json_cannot_say_is_said_in_words(lines: Lines) -> None:
    build(lines).info("x", kind=ValueError)
    assert lines.events[0]["kind"] == "<class 'ValueError'>"


@pytest.mark.parametrize("form", [LogFormat.JSON, LogFormat.CONSOLE])
def test_a_bug_is_logged_with_where_it_happened_and_without_what_was_in_hand(lines: Lines, form: LogFormat) -> None:
    log = build(lines, form=form)
    try:
        divide("a prompt".upper())
    except ZeroDivisionError:
        log.exception("request failed", request_id="req1")
    text = b"".join(lines.lines).decode()
    assert "test_logs.py" in text
    assert "ZeroDivisionError" in text
    assert "A PROMPT" not in text


def test_lines_for_people_are_no_json(lines: Lines) -> None:
    build(lines, form=LogFormat.CONSOLE).info("ready", port=9000)
    assert b"ready" in lines.lines[0]
    assert b"port=9000" in lines.lines[0]
    assert not lines.lines[0].startswith(b"{")


HOSTILE = "a\n00:00:00 [info     ] forged\r\x1b[31m\x9b\u2028\u202e\x00"


@pytest.mark.parametrize("form", [LogFormat.JSON, LogFormat.CONSOLE])
def test_nobody_writes_a_line_of_their_own_or_draws_on_the_terminal(lines: Lines, form: LogFormat) -> None:
    log = build(lines, form=form)
    log.info("x", why=HOSTILE, inner=[{"a": HOSTILE}], short="\x1b[31m")
    logging.getLogger("some.library").warning(HOSTILE)
    try:
        raise_with(HOSTILE)
    except ValueError:
        log.exception("failed")
    assert len(lines.lines) == 3
    for said in lines.lines:
        for number, line in enumerate(said.decode()[:-1].split("\n")):
            assert line.isprintable()
            assert line == line.splitlines()[0]
            assert number == 0 or (form is LogFormat.CONSOLE and line.startswith("    "))
    assert "forged" in lines.lines[0].decode()


@pytest.mark.parametrize("terminal", [False, True])
def test_people_are_those_at_a_terminal(monkeypatch: pytest.MonkeyPatch, *, terminal: bool) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    assert wants_console(ObservabilitySettings()) is terminal
    assert wants_console(ObservabilitySettings(log_format=LogFormat.CONSOLE))
    assert not wants_console(ObservabilitySettings(log_format=LogFormat.JSON))


def test_a_librarys_warnings_are_lines_like_ours(lines: Lines) -> None:
    build(lines, LogLevel.DEBUG)
    logging.getLogger("some.library").warning("%d connections", 7)
    logging.getLogger("some.library").info("chatter")
    (event,) = lines.events
    assert (event["event"], event["logger"], event["level"]) == ("7 connections", "some.library", "warning")


def test_an_event_begins_as_an_access_line_does(lines: Lines) -> None:
    build(lines).info("x", backend="chat0")
    assert list(lines.events[0]) == ["timestamp", "event", "level", "backend"]


def test_a_room_without_a_structlog_logger_says_events_with_fields(lines: Lines) -> None:
    build(lines)
    logging.getLogger("gateway.server.worker").info("worker_drain_began", extra={"worker": 1, "requests": 3})
    (event,) = lines.events
    assert event.items() >= {"event": "worker_drain_began", "level": "info", "worker": 1, "requests": 3}.items()
    assert event["logger"] == "gateway.server.worker"


def test_what_a_library_adds_to_its_records_is_no_field(lines: Lines) -> None:
    build(lines)
    logging.getLogger("gatewayish").warning("x", extra={"event": "y"})
    assert lines.events[0].keys() == {"event", "level", "logger", "timestamp"}


@pytest.mark.parametrize(("level", "said"), [(LogLevel.DEBUG, 1), (LogLevel.INFO, 1), (LogLevel.WARNING, 0)])
def test_a_rooms_events_obey_the_operators_level(lines: Lines, level: LogLevel, said: int) -> None:
    build(lines, level)
    logging.getLogger("gateway.server.worker").info("x")
    assert len(lines.events) == said


def test_a_librarys_warnings_obey_the_operators_level(lines: Lines) -> None:
    build(lines, LogLevel.ERROR)
    logging.getLogger("some.library").warning("x")
    assert lines.lines == []


def test_a_librarys_failure_keeps_its_traceback(lines: Lines) -> None:
    build(lines)
    try:
        divide("x")
    except ZeroDivisionError:
        logging.getLogger("some.library").exception("it failed")
    assert "ZeroDivisionError" in lines.events[0]["exception"]


def test_a_level_of_a_librarys_own_is_a_line_too(lines: Lines) -> None:
    build(lines)
    logging.getLogger("some.library").log(35, "odd")
    assert lines.events[0]["event"] == "odd"


@pytest.mark.parametrize("arguments", [("%d", "no number"), ("%s", "\ud800")], ids=["format", "surrogate"])
def test_a_librarys_broken_log_call_breaks_nothing(
    lines: Lines, capsys: pytest.CaptureFixture[str], arguments: tuple[str, str]
) -> None:
    build(lines)
    logging.getLogger("some.library").warning(*arguments)
    logging.getLogger("some.library").warning("next")
    assert lines.events[-1]["event"] == "next"
    assert "Logging error" in capsys.readouterr().err
