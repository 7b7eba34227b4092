"""What does the gateway say about itself? structlog over one writer: JSON for programs, a readable form for people."""

import logging
import sys
from collections.abc import MutableMapping
from datetime import UTC, datetime
from typing import Any

import structlog

from gateway.observability.log_writer import LogWriter
from gateway.observability.settings import LogFormat, ObservabilitySettings

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
STEP = logging.INFO - logging.DEBUG
"""Between two levels; a library may have levels of its own between ours."""
OWN = "gateway"
"""Loggers below this name are ours: a room without a structlog logger names an event to one, its fields as `extra`."""
OF_EVERY_RECORD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class _WriterLogger:
    """structlog's last step: rendered bytes to the shared writer."""

    def __init__(self, writer: LogWriter) -> None:
        self._writer = writer

    def msg(self, message: bytes | str) -> None:
        line = message if isinstance(message, bytes) else message.encode()
        self._writer.write(line + b"\n")

    log = debug = info = warn = warning = error = critical = exception = fatal = msg


def wants_console(settings: ObservabilitySettings) -> bool:
    """Whether lines are for people."""
    if settings.log_format is LogFormat.AUTO:
        return sys.stderr.isatty()
    return settings.log_format is LogFormat.CONSOLE


def build_logger(settings: ObservabilitySettings, writer: LogWriter) -> structlog.typing.FilteringBoundLogger:
    """The process's event logger, and the standard library's records routed into it."""
    renderer: Any
    if wants_console(settings):
        stamp: Any = structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=True)
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    else:
        stamp = _stamped
        renderer = structlog.processors.JSONRenderer(serializer=_dumps)
    logger: structlog.typing.FilteringBoundLogger = structlog.wrap_logger(
        _WriterLogger(writer),
        processors=[
            structlog.processors.add_log_level,
            stamp,
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[settings.log_level]),
    )
    _route_standard_library(logger, LEVELS[settings.log_level])
    return logger


def _stamped(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The event as an access line begins: the time, `2026-11-21T01:04:02.250+00:00`, then the event's name."""
    stamp = datetime.now(UTC).isoformat(timespec="milliseconds")
    return {"timestamp": stamp, "event": event.pop("event"), "level": event.pop("level"), **event}


def _dumps(event: MutableMapping[str, Any], **_: Any) -> bytes:  # noqa: ANN401 -- structlog's serializer protocol
    import orjson  # noqa: PLC0415 -- only the JSON form needs it

    return orjson.dumps(event, default=str)


class _Forward(logging.Handler):
    def __init__(self, logger: structlog.typing.FilteringBoundLogger) -> None:
        super().__init__()
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        """Pass it on; a library's broken log call must not break the library's caller."""
        level = min(record.levelno // STEP * STEP, logging.CRITICAL)
        try:
            fields = fields_of(record)
            self._logger.log(level, record.getMessage(), logger=record.name, exc_info=record.exc_info, **fields)
        except Exception:  # noqa: BLE001 -- whatever a library's arguments raise when they are written out
            self.handleError(record)


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """The `extra` of a record of ours; what a library adds to its own would be no field that we promise."""
    if not record.name.startswith(f"{OWN}."):
        return {}
    return {name: value for name, value in vars(record).items() if name not in OF_EVERY_RECORD}


def _route_standard_library(logger: structlog.typing.FilteringBoundLogger, level: int) -> None:
    root = logging.getLogger()
    root.handlers = [_Forward(logger)]
    # httpx says every probe at INFO, uvicorn every start step: an operator asked for the gateway's own words.
    root.setLevel(max(level, logging.WARNING))
    logging.getLogger(OWN).setLevel(level)
