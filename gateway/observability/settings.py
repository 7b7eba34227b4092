"""What may an operator set about logs and metrics?"""

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from gateway.core.room_settings import RoomSettings, split_list
from gateway.observability.choices import LogFormat, LogLevel
from gateway.observability.tls_address import tls_address


def _address(text: str) -> str:
    tls_address(text)
    return text


TlsAddresses = Annotated[tuple[Annotated[str, AfterValidator(_address)], ...], BeforeValidator(split_list)]
"""A comma-separated list in the environment, a list or such a string in YAML."""


class ObservabilitySettings(RoomSettings):
    """Logs and metrics."""

    log_level: LogLevel = Field(default=LogLevel.INFO, description="debug, info, warning or error.")
    log_format: LogFormat = Field(
        default=LogFormat.AUTO, description="json, console, or auto: console on a terminal, json elsewhere."
    )
    access_log: bool = Field(default=True, description="One line per request; false writes none.")
    log_mask_client_ips: bool = Field(
        default=False,
        description="Whether logs and the audit trail show of a client's address its network alone: the /24 of an IPv4 "
        "address, the /48 of an IPv6 one.",
    )
    metrics_organizations: int = Field(
        20,
        ge=0,
        le=50,
        description="Organizations that /metrics shows by name, the busiest and those nearest to a quota; 0: none.",
    )
    tls_probe_addresses: TlsAddresses = Field(
        default=(),
        description=(
            "Comma-separated addresses that serve TLS, as nginx:443, whose certificates' ends /metrics shows; the "
            "control process asks them once a minute and verifies nothing. Empty: none."
        ),
    )
