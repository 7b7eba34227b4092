"""What may an operator set about logs and metrics?"""

from pydantic import Field

from gateway.core.room_settings import RoomSettings
from gateway.observability.choices import LogFormat, LogLevel


class ObservabilitySettings(RoomSettings):
    """Logs and metrics."""

    log_level: LogLevel = Field(default=LogLevel.INFO, description="debug, info, warning or error.")
    log_format: LogFormat = Field(
        default=LogFormat.AUTO, description="json, console, or auto: console on a terminal, json elsewhere."
    )
    access_log: bool = Field(default=True, description="One line per request; false writes none.")
