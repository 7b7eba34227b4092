"""Where does this run? What was read there, whether a gateway could keep its files, and what is seen elsewhere."""

import shutil
import tempfile
from pathlib import Path

from gateway.cache.host import map_bytes as cache_bytes
from gateway.cli.check.compose_file import COMPOSE_FILE
from gateway.cli.check.neighbours import ENV_FILE
from gateway.settings import Settings, stated
from gateway.store.choices import StoreKind
from gateway.store.environment import map_bytes as limits_bytes

CONTAINER_MARKS = ("/.dockerenv", "/run/.containerenv")
"""Docker and Podman leave one of them in each container."""
CONTAINED = """\
This runs in a container, which has no docker-compose.yml, no nginx/ and no .env (Compose hands its lines on). Whether
nginx, Compose and vLLM give up in the right order is seen where these files are: run `gateway check` in the checkout on
the host, and `gateway doctor` for the host itself."""
FOLDERS = {"data_path": "keys and usage would have no place", "limiter_path": "a gateway would not start"}
"""What comes of it where one of them cannot be written."""


def told(*marks: str) -> list[str]:
    """What the configuration was read from, and what cannot be judged here; `marks` are those of a container."""
    config = stated("GATEWAY_CONFIG").get("GATEWAY_CONFIG")
    files = [
        *([str(ENV_FILE.absolute())] if ENV_FILE.is_file() else []),
        *([f"{Path(config).absolute()} (GATEWAY_CONFIG)"] if config else []),
    ]
    read = f"Read from {' and '.join(['the environment', *files])}."
    if COMPOSE_FILE.is_file() or not any(Path(mark).exists() for mark in marks):
        return [read if files else f"{read} There is no .env in {Path.cwd()}."]
    return [read, *CONTAINED.splitlines()]


def unfit(settings: Settings) -> list[str]:
    """A sentence for each folder in which a gateway that starts here could not keep what it must.

    Nothing in a checkout for Compose: there the folders are a container's, which has them from Compose.
    """
    if COMPOSE_FILE.is_file():
        return []
    found = [
        f"{name.upper()} {path} cannot be written here ({why}): {otherwise}"
        for name, otherwise in FOLDERS.items()
        for path in [getattr(settings, name)]
        if (why := _not_written(path))
    ]
    return found or _cramped(settings)


def _not_written(folder: Path) -> str:
    """Why nothing can be written into a folder, or where it would be made; empty where it can."""
    try:
        with tempfile.TemporaryFile(dir=_standing(folder)):
            return ""
    except OSError as error:
        return error.strerror or str(error)


def _cramped(settings: Settings) -> list[str]:
    """Whether LIMITER_PATH's file system has less than what is set aside there at the start."""
    if settings.limiter_store is not StoreKind.LMDB:
        return []
    needed = limits_bytes(settings.max_tracked_organizations, settings.journal_bytes)
    needed += cache_bytes(settings.cache_max_bytes) if settings.cache_ttl_secs else 0
    there = shutil.disk_usage(_standing(settings.limiter_path)).total
    words = (
        f"LIMITER_PATH {settings.limiter_path} has {there >> 20} MiB in all, and {needed >> 20} MiB are set aside "
        "for limits, usage records and kept answers: make it larger (under Compose shm_size of the gateway), or lower "
        "MAX_TRACKED_ORGANIZATIONS, JOURNAL_BYTES or CACHE_MAX_BYTES"
    )
    return [words] if needed > there else []


def _standing(folder: Path) -> Path:
    """The folder, or the nearest above it that is there."""
    return next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
