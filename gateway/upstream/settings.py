"""How far may the client to the backends go? Its settings."""

import ssl
from pathlib import Path

from pydantic import BaseModel, Field, field_validator


class UpstreamSettings(BaseModel):
    """Limits of the connections to the backends, per worker process."""

    upstream_max_connections: int = Field(
        default=3000,
        ge=1,
        description="Open connections to all backends together, per worker process. Above it a request waits for one.",
    )
    upstream_max_keepalive: int = Field(
        default=800,
        ge=0,
        description="Idle connections kept for reuse, per worker process. 0: every request opens its own.",
    )
    upstream_keepalive_secs: float = Field(
        default=4.0,
        ge=0,
        description="Seconds an idle connection is kept; below vLLM's 5.0 s, so that we close first. 0: none is kept.",
    )
    upstream_max_connection_age_secs: float = Field(
        default=60.0,
        gt=0,
        description="Seconds after which a connection gets no further request, so that a backend whose name leads "
        "elsewhere is followed under steady load, too. What runs on it goes on.",
    )
    upstream_connect_timeout_secs: float = Field(
        default=2.0,
        gt=0,
        description="Seconds for name, connection and TLS together, and for the wait when all connections are in use.",
    )
    upstream_dns_secs: float = Field(
        default=2.0,
        ge=0,
        description="Seconds a backend's name stays resolved for new connections. 0: every new connection asks again.",
    )
    upstream_ca_file: Path | None = Field(
        default=None,
        description="PEM file of the authorities that sign https backends. Empty: those of the system.",
    )

    @field_validator("upstream_ca_file", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("upstream_ca_file")
    @classmethod
    def _holds_certificates(cls, value: Path | None) -> Path | None:
        if value is not None:
            try:
                ssl.create_default_context(cafile=str(value))
            except (OSError, ssl.SSLError) as error:
                raise ValueError(f"UPSTREAM_CA_FILE cannot be read as PEM certificates: {value}") from error
        return value
