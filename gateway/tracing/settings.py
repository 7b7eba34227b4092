"""What may an operator set about traces? OpenTelemetry's own names, as far as they go."""

from importlib.util import find_spec
from typing import Self

from pydantic import Field, field_validator, model_validator

from gateway.core.room_settings import RoomSettings
from gateway.tracing.choices import Protocol

LIBRARIES = ("opentelemetry.sdk", "opentelemetry.exporter")
"""What the extra `otel` installs; each is looked for without being loaded."""


class TracingSettings(RoomSettings):
    """Traces. Headers and certificates for the collector are the library's own to read, from the environment alone."""

    otel_traces_enabled: bool = Field(
        default=False,
        description="Send spans of requests to a collector; needs the extra `otel`, which the image has.",
    )
    otel_exporter_otlp_endpoint: str = Field(
        default="http://localhost:4318",
        description="The collector's URL, to which /v1/traces is added. Compose says that of "
        "docker-compose.monitoring.yml, http://otel-collector:4318, unless another one is set.",
    )
    otel_exporter_otlp_protocol: Protocol = Field(
        default=Protocol.HTTP_PROTOBUF, description="http/protobuf: there is no other."
    )
    otel_traces_sampler_arg: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="Share of the requests that are recorded, 0 to 1. A client that has shown a valid key decides for "
        "its own by the flag of its traceparent; nobody else can ask for more.",
    )
    otel_service_name: str = Field(
        default="inference-gateway", min_length=1, max_length=255, description="What the gateway is called in traces."
    )

    @field_validator("otel_exporter_otlp_endpoint")
    @classmethod
    def _endpoint_is_http(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")) or not value.isascii() or " " in value:
            raise ValueError("must be an http:// or https:// URL")
        if "@" in value:
            raise ValueError("must not hold a user name or password: set OTEL_EXPORTER_OTLP_HEADERS in the environment")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _libraries_are_there(self) -> Self:
        if self.otel_traces_enabled and not _installed():
            raise ValueError("OTEL_TRACES_ENABLED needs the extra `otel`: pip install 'inference-gateway[otel]'")
        return self


def _installed() -> bool:
    try:
        return all(find_spec(library) for library in LIBRARIES)
    except ModuleNotFoundError:  # not even the package above it is there
        return False
