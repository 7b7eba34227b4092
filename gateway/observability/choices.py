"""Which words may be chosen for what the gateway says of itself?"""

from enum import StrEnum


class LogLevel(StrEnum):
    """How much the gateway says about itself; the access log is separate."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """Lines for programs or for people."""

    AUTO = "auto"
    JSON = "json"
    CONSOLE = "console"
