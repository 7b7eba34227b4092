"""What does the gateway say about itself? structlog over one writer: JSON for programs, a readable form for people."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from gateway.observability.log_writer import LogWriter
from gateway.observability.settings import LogFormat, ObservabilitySettings

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
STEP = logging.INFO - logging.DEBUG
"""Between two levels; a library may have levels of its own between ours."""


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
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    else:
        renderer = structlog.processors.JSONRenderer(serializer=_dumps)
    logger: structlog.typing.FilteringBoundLogger = structlog.wrap_logger(
        _WriterLogger(writer),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[settings.log_level]),
    )
    _route_standard_library(logger, LEVELS[settings.log_level])
    return logger


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
            self._logger.log(level, record.getMessage(), logger=record.name, exc_info=record.exc_info)
        except Exception:  # noqa: BLE001 -- whatever a library's arguments raise when they are written out
            self.handleError(record)


def _route_standard_library(logger: structlog.typing.FilteringBoundLogger, level: int) -> None:
    root = logging.getLogger()
    root.handlers = [_Forward(logger)]
    # httpx says every probe at INFO, uvicorn every start step: an operator asked for the gateway's own words.
    root.setLevel(max(level, logging.WARNING))
