"""What is a room's settings model? One whose checks are put together when it is first filled in, not when imported."""

from pydantic import BaseModel, ConfigDict


class RoomSettings(BaseModel):
    """A base for rooms' settings.

    Only `gateway.settings.Settings`, which inherits the rooms, is ever filled in, and only by the supervisor: others
    are handed its values (`core.carried`). Validators that nobody uses would be 4 MiB and 40 ms of a start.
    """

    model_config = ConfigDict(defer_build=True)


def split_list(value: object) -> object:
    """A comma-separated string as a list of its non-empty parts; anything else as it is: pydantic judges that."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value
