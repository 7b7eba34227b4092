"""Who may administer the gateway, and where? The admin API's settings."""

from pydantic import Field, SecretStr, field_validator

from gateway.core.keys import refuse_unfit
from gateway.core.room_settings import RoomSettings, split_list

MIN_LENGTH = 16
"""Whoever guesses the key owns the gateway: `openssl rand -hex 32` makes a better one."""


class AdminSettings(RoomSettings):
    """The admin API, and how commands reach it."""

    admin_api_key: list[SecretStr] = Field(
        default=[],
        description="Keys of the admin API, sent as `X-Admin-Key` or `Authorization: Bearer`; several, "
        f"comma-separated, to rotate one. {MIN_LENGTH} characters or more each, and none of GATEWAY_API_KEY. Empty: "
        "there is no admin API, and all of its paths are 404.",
    )
    gateway_url: str = Field(
        default="",
        description="Where `gateway keys` and the other commands that ask a running gateway find it: http://host:port, "
        "or https://name, for whose certificate this host's authorities vouch, or SSL_CERT_FILE of the environment. "
        "Empty: GATEWAY_PORT on this host.",
    )

    @field_validator("admin_api_key", mode="before")
    @classmethod
    def _split_administrators(cls, value: object) -> object:
        return split_list(value)

    @field_validator("admin_api_key")
    @classmethod
    def _administrators(cls, keys: list[SecretStr]) -> list[SecretStr]:
        for key in keys:
            refuse_unfit(key.get_secret_value(), "ADMIN_API_KEY")
            if len(key.get_secret_value()) < MIN_LENGTH:
                raise ValueError(
                    f"ADMIN_API_KEY holds a key of under {MIN_LENGTH} characters: `openssl rand -hex 32` makes one"
                )
        return keys

    @field_validator("gateway_url")
    @classmethod
    def _where(cls, value: str) -> str:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError("GATEWAY_URL must begin with http:// or https://")
        return value.rstrip("/")
