"""Where do the limits keep their state, and how much of it? The store's settings."""

import os
import ssl
import tempfile
from pathlib import Path

from pydantic import BaseModel, Field, SecretStr, ValidationInfo, field_validator

from gateway.store.choices import StoreKind
from gateway.store.valkey.address import parse

MAX_DIRECTORY_BYTES = 80
"""A unix socket's path has 107 bytes; the rest is for the file name."""


def default_path() -> Path:
    """A directory of this user's own on tmpfs, where the system has one."""
    shared_memory = Path("/dev/shm")  # noqa: S108 -- the directory is made with mode 0700 and refused if another's
    base = shared_memory if shared_memory.is_dir() else Path(tempfile.gettempdir())
    return base / f"inference-gateway-{os.getuid()}"


class StoreSettings(BaseModel):
    """What an operator may choose about the shared state."""

    limiter_store: StoreKind = Field(
        StoreKind.LMDB, description="lmdb: one truth for all workers of this host; memory: for one worker only."
    )
    limiter_path: Path = Field(
        default_factory=default_path,
        description="Directory of the lmdb store, on tmpfs; gateways that share it share limits. At most 80 bytes. "
        "Empty: /dev/shm/inference-gateway-UID, UID being the user's number (without /dev/shm, in the folder for "
        "temporary files).",
    )
    limiter_idle_secs: float = Field(
        60.0, ge=0, description="Seconds after which a full bucket is forgotten; 0 forgets it as soon as it is full."
    )
    max_tracked_organizations: int = Field(
        100_000,
        ge=100,
        le=10_000_000,
        description="Buckets kept at the most, about 260 bytes each; beyond it the fullest ones are forgotten.",
    )

    redis_url: SecretStr = Field(
        SecretStr(""),
        description="Valkey or Redis server whose hosts share one limit, e.g. redis://:password@10.0.0.5:6379/0, "
        "rediss:// or unix://; LIMITER_STORE then counts for this host alone while that is away. Empty: one host.",
    )
    redis_timeout_ms: float = Field(
        50.0,
        ge=5,
        le=1000,
        description="Milliseconds after which a silent server is given up and each host keeps to its share of a limit.",
    )

    redis_ca_file: Path | None = Field(
        None, description="PEM file of the authorities that sign a rediss:// server. Empty: those of the system."
    )
    redis_key_file: Path | None = Field(
        None, description="PEM file of the key of REDIS_CERT_FILE. Empty: the key stands in that file, too."
    )
    redis_cert_file: Path | None = Field(
        None, description="PEM file of the certificate that the gateway shows a rediss:// server. Empty: none."
    )

    @field_validator("redis_ca_file", "redis_key_file", "redis_cert_file", mode="before")
    @classmethod
    def _empty_file_is_none(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("redis_ca_file", "redis_cert_file")
    @classmethod
    def _can_be_read(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if value is None:
            return None
        try:
            if info.field_name == "redis_ca_file":
                ssl.create_default_context(cafile=value)
            else:
                ssl.create_default_context().load_cert_chain(value, info.data.get("redis_key_file"))
        except OSError as error:
            fault = "cannot be read as PEM certificates"
            if info.field_name == "redis_cert_file":
                fault = "holds no certificate with its key, as PEM, nor does REDIS_KEY_FILE"
            raise ValueError(f"{str(info.field_name).upper()} {fault}: {value}") from error
        return value

    @field_validator("redis_url")
    @classmethod
    def _is_an_address(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value():
            parse(value.get_secret_value())
        return value

    journal_bytes: int = Field(
        16 * 2**20,
        ge=64 * 2**10,
        le=2**30,
        description="Bytes of usage records that may wait for the database; beyond it they are lost, and counted.",
    )

    @field_validator("limiter_path")
    @classmethod
    def _fits_a_socket(cls, value: Path) -> Path:
        if len(os.fsencode(value.absolute())) > MAX_DIRECTORY_BYTES:
            raise ValueError(
                f"LIMITER_PATH is longer than {MAX_DIRECTORY_BYTES} bytes, too long for unix sockets in it"
            )
        return value.absolute()
