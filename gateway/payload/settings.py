"""How much may one request ask for? The bounds that are checked before anything is reserved."""

from pydantic import BaseModel, Field

from gateway.payload.lists import MAX_COUNTED


class PayloadSettings(BaseModel):
    """Bounds on what one request may multiply itself into."""

    max_choices: int = Field(
        default=128,
        ge=1,
        description="The largest n (choices per prompt) of one request; a larger one is a 400. At least 1.",
    )
    max_batch: int = Field(
        default=2048,
        ge=1,
        le=MAX_COUNTED,
        description=(
            "The most prompts, embedding inputs or documents in one request, and the most choices over all its "
            "prompts; more are a 400. From 1 to 16384."
        ),
    )
