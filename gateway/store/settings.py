"""Where do the limits keep their state, and how much of it? The store's settings."""

import os
import tempfile
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, Field, field_validator

EVICTION_SAMPLE = 32
"""Buckets looked at when one must go: enough that a drained one is rarely the fullest of them."""

BUSIEST = 10
"""Keys that `counts()` names."""

MAX_DIRECTORY_BYTES = 80
"""A unix socket's path has 107 bytes; the rest is for the file name."""


class StoreKind(StrEnum):
    """The implementations of `LimiterStore`."""

    LMDB = "lmdb"
    MEMORY = "memory"


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
        description="Directory of the lmdb store, on tmpfs; gateways that share it share limits. At most 80 bytes.",
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

    @field_validator("limiter_path")
    @classmethod
    def _fits_a_socket(cls, value: Path) -> Path:
        if len(os.fsencode(value.absolute())) > MAX_DIRECTORY_BYTES:
            raise ValueError(
                f"LIMITER_PATH is longer than {MAX_DIRECTORY_BYTES} bytes, too long for unix sockets in it"
            )
        return value.absolute()
