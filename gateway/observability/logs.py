"""What does the gateway say about itself? Events over one writer: JSON for programs, a readable form for people."""

import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import orjson

from gateway.observability.choices import LogFormat
from gateway.observability.log_writer import LogWriter
from gateway.observability.one_line import on_one_line, spelled_out
from gateway.observability.redaction import Redactor, redactor_of

if TYPE_CHECKING:
    from gateway.observability.settings import ObservabilitySettings

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
NAMES: Final = {**{number: name for name, number in LEVELS.items()}, logging.CRITICAL: "critical"}
STEP = logging.INFO - logging.DEBUG
"""Between two levels; a library may have levels of its own between ours."""
OWN = "gateway"
"""Loggers below this name are ours: a room without an `EventLog` names an event to one, its fields as `extra`."""
OF_EVERY_RECORD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}

Fields = dict[str, Any]
Render = Callable[[datetime, str, str, Fields], bytes]
"""Makes a line, without its end, of an event's time, name, level and fields."""


class Events:
    """The process's `core.events.EventLog`.

    Not structlog's, whose import alone is 5 MiB and a tenth of a worker's start: an event is a name and its fields, and
    is written in one of two forms.

    Args:
        writer: the shared one.
        level: what is below it is not said.
        render: the form.
        redactor: takes out what nobody may read.
    """

    def __init__(self, writer: LogWriter, level: int, render: Render, redactor: Redactor) -> None:
        self._writer = writer
        self._level = level
        self._render = render
        self._redactor = redactor

    def debug(self, event: str, /, **fields: object) -> None:
        """For whoever looks for a fault."""
        self.log(logging.DEBUG, event, fields)

    def info(self, event: str, /, **fields: object) -> None:
        """See `EventLog`."""
        self.log(logging.INFO, event, fields)

    def warning(self, event: str, /, **fields: object) -> None:
        """See `EventLog`."""
        self.log(logging.WARNING, event, fields)

    def error(self, event: str, /, **fields: object) -> None:
        """Something failed that clients or operators notice."""
        self.log(logging.ERROR, event, fields)

    def exception(self, event: str, /, **fields: object) -> None:
        """See `EventLog`."""
        self.log(logging.ERROR, event, {**fields, "exception": _stack(sys.exception())})

    def log(self, level: int, event: str, fields: Fields) -> None:
        """Say an event of that level, a key of `NAMES`."""
        if level >= self._level:
            event, fields = self._redactor.text(event), self._redactor.fields(fields)
            self._writer.write(self._render(datetime.now(UTC), event, NAMES[level], fields) + b"\n")


def wants_console(settings: "ObservabilitySettings") -> bool:
    """Whether lines are for people."""
    if settings.log_format is LogFormat.AUTO:
        return sys.stderr.isatty()
    return settings.log_format is LogFormat.CONSOLE


def build_logger(settings: "ObservabilitySettings", writer: LogWriter) -> Events:
    """The process's event logger, and the standard library's records routed into it."""
    level = LEVELS[settings.log_level]
    render = _for_people() if wants_console(settings) else _as_json
    logger = Events(writer, level, render, redactor_of(settings))
    _route_standard_library(logger, level)
    return logger


def _as_json(at: datetime, event: str, level: str, fields: Fields) -> bytes:
    """The event as an access line begins: the time, `2026-11-21T01:04:02.250+00:00`, then the event's name."""
    stamp = at.isoformat(timespec="milliseconds")
    return spelled_out(orjson.dumps({"timestamp": stamp, "event": event, "level": level, **fields}))


def _for_people() -> Render:
    """Structlog's console form: aligned, in colours on a terminal."""
    from structlog.dev import ConsoleRenderer  # noqa: PLC0415 -- 5 MiB, for whoever sits before a terminal alone

    form = ConsoleRenderer(colors=sys.stderr.isatty())

    def render(at: datetime, event: str, level: str, fields: Fields) -> bytes:
        said = {name: on_one_line(value) if isinstance(value, str) else value for name, value in fields.items()}
        stack = str(fields.get("exception", "")).splitlines() if said.pop("exception", None) else []
        shown = {"timestamp": f"{at:%H:%M:%S}", "event": on_one_line(event), "level": level, **said}
        lines = [form(None, level, shown), *(f"    {on_one_line(line)}" for line in stack)]
        return "\n".join(lines).encode()

    return render


def _stack(error: BaseException | None) -> str:
    """Where it was raised, without what was in hand there."""
    return "" if error is None else logging.Formatter().formatException((type(error), error, error.__traceback__))


class _Forward(logging.Handler):
    def __init__(self, logger: Events) -> None:
        super().__init__()
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        """Pass it on; a library's broken log call must not break the library's caller."""
        level = min(record.levelno // STEP * STEP, logging.CRITICAL)
        try:
            fields = {"logger": record.name, **fields_of(record)}
            if record.exc_info:
                fields["exception"] = _stack(record.exc_info[1])
            self._logger.log(level, record.getMessage(), fields)
        except Exception:  # noqa: BLE001 -- whatever a library's arguments raise when they are written out
            self.handleError(record)


def fields_of(record: logging.LogRecord) -> Fields:
    """The `extra` of a record of ours; what a library adds to its own would be no field that we promise."""
    if not record.name.startswith(f"{OWN}."):
        return {}
    return {name: value for name, value in vars(record).items() if name not in OF_EVERY_RECORD}


def _route_standard_library(logger: Events, level: int) -> None:
    root = logging.getLogger()
    root.handlers = [_Forward(logger)]
    # httpx says every probe at INFO, uvicorn every start step: an operator asked for the gateway's own words.
    root.setLevel(max(level, logging.WARNING))
    logging.getLogger(OWN).setLevel(level)
