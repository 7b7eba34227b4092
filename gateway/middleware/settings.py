"""What may an operator set about a request's arrival?"""

from typing import Self

from pydantic import BaseModel, Field, model_validator

MEBIBYTE = 1024 * 1024


class MiddlewareSettings(BaseModel):
    """Bounds on what a client may send, and how slowly."""

    max_request_body_bytes: int = Field(
        default=10 * MEBIBYTE, ge=1024, description="A larger body is answered with 413; nginx has the same bound."
    )
    max_held_body_bytes: int = Field(
        default=256 * MEBIBYTE,
        ge=1024,
        description="Bytes of request bodies that one worker holds at a time, each from its arrival to the end of its "
        "answer; the body that goes beyond is answered with 503. At least MAX_REQUEST_BODY_BYTES.",
    )
    client_body_timeout_secs: float = Field(
        default=15.0, gt=0, description="Seconds without a byte of a body that is not complete, then 408."
    )
    client_body_total_secs: float = Field(
        default=120.0,
        gt=0,
        description="Seconds in which a body must be complete, however steadily it comes, then 408 (10 MiB in 120 s "
        "are 0.7 Mbit/s). Behind nginx a body arrives at once, and nginx's own time-outs hold.",
    )

    @model_validator(mode="after")
    def _one_body_fits(self) -> Self:
        if self.max_held_body_bytes < self.max_request_body_bytes:
            raise ValueError(
                f"MAX_HELD_BODY_BYTES ({self.max_held_body_bytes}) is less than MAX_REQUEST_BODY_BYTES "
                f"({self.max_request_body_bytes}): a body that is allowed would never be taken"
            )
        return self
