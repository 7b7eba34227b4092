"""How much of a stream is held back at once? The bound on one event."""

from pydantic import BaseModel, Field


class StreamingSettings(BaseModel):
    """What a relay may hold in memory for one stream."""

    max_event_bytes: int = Field(
        default=8 * 1024 * 1024,
        ge=4096,
        description=(
            "The largest single event of a backend's stream, in bytes; a larger one ends the stream with an error. "
            "The last event of /v1/responses repeats the whole answer. At least 4096."
        ),
    )
