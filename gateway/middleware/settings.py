"""What may an operator set about a request's arrival?"""

from pydantic import BaseModel, Field

MEBIBYTE = 1024 * 1024


class MiddlewareSettings(BaseModel):
    """Bounds on what a client may send, and how slowly."""

    max_request_body_bytes: int = Field(
        default=10 * MEBIBYTE, ge=1024, description="A larger body is answered with 413; nginx has the same bound."
    )
    client_body_timeout_secs: float = Field(
        default=15.0, gt=0, description="Seconds without a byte of a body that is not complete, then 408."
    )
