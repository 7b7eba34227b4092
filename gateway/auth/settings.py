"""What may an operator set about keys and addresses?"""

from ipaddress import ip_network

from pydantic import Field, SecretStr, field_validator

from gateway.auth.key_secret import FILE, MAX_BYTES, MIN_BYTES
from gateway.core.keys import MIN_LENGTH, refuse_unfit
from gateway.core.room_settings import RoomSettings, split_list


class AuthSettings(RoomSettings):
    """Keys and the addresses that may speak for others."""

    gateway_api_key: list[SecretStr] = Field(
        default=[],
        validate_default=True,
        description="Keys that clients send as `Authorization: Bearer`; several, comma-separated, to rotate one. "
        f"{MIN_LENGTH} characters or more each. Required.",
    )
    key_hash_secret: SecretStr = Field(
        default=SecretStr(""),
        description=f"Secret of {MIN_BYTES} to {MAX_BYTES} characters that API keys are hashed with; with another one "
        f"no key is known any more. Empty: {FILE} in DATA_PATH, made at the first start. With PostgreSQL it must be "
        "set, the same on all hosts.",
    )
    trusted_proxies: list[str] = Field(
        default=["127.0.0.0/8", "::1/128"],
        description="Addresses or networks whose X-Forwarded-For and X-Real-IP are believed; everybody else is who "
        "their socket says they are.",
    )

    @field_validator("gateway_api_key", "trusted_proxies", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return split_list(value)

    @field_validator("gateway_api_key")
    @classmethod
    def _keys(cls, keys: list[SecretStr]) -> list[SecretStr]:
        for key in keys or [SecretStr("")]:
            refuse_unfit(key.get_secret_value(), "GATEWAY_API_KEY")
        return keys

    @field_validator("key_hash_secret")
    @classmethod
    def _hashes(cls, value: SecretStr) -> SecretStr:
        if secret := value.get_secret_value():
            refuse_unfit(secret, "KEY_HASH_SECRET")
            if not MIN_BYTES <= len(secret) <= MAX_BYTES:
                raise ValueError(
                    f"KEY_HASH_SECRET must have {MIN_BYTES} to {MAX_BYTES} characters: `openssl rand -hex 32` makes one"
                )
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, networks: list[str]) -> list[str]:
        for network in networks:
            try:
                ip_network(network)
            except ValueError as error:
                raise ValueError(f"TRUSTED_PROXIES: {error}") from error
        return networks
