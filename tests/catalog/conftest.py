"""A catalog's folder on tmpfs, a publisher in a process of its own, a reader in this one."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.catalog.reader import Catalog
from gateway.catalog.settings import CatalogSettings
from tests.catalog.press import Child, child
from tests.core.hand_time import HandTime


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where no catalog is yet."""
    with tempfile.TemporaryDirectory(prefix="catalog-", dir="/dev/shm") as parent:
        yield Path(parent) / "state" / "catalog"


@pytest.fixture
def publisher(folder: Path) -> Iterator[Child]:
    """Open, and has published nothing."""
    with child("publisher", folder) as made:
        assert made("open")
        yield made


@pytest.fixture
def time_by_hand() -> HandTime:
    """The reader's clocks, which begin now: the publisher's are the host's."""
    return HandTime(now=time.monotonic())


@pytest.fixture
def catalog(folder: Path, time_by_hand: HandTime) -> Iterator[Catalog]:
    """The reader."""
    with Catalog(folder, CatalogSettings(), time_by_hand) as opened:
        yield opened
