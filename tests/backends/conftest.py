"""What the tests of this room talk to: a backend, whoever chooses among backends, and workers with breakers."""

from collections.abc import AsyncIterator

import pytest

from tests.backends import breakers, choosing
from tests.backends.scripted import ScriptedBackend


@pytest.fixture
async def backend() -> AsyncIterator[ScriptedBackend]:
    """A healthy backend that serves `qwen`."""
    async with ScriptedBackend() as scripted:
        yield scripted


@pytest.fixture
def fleet() -> choosing.Fleet:
    """Three chat backends and one for embeddings, all of them healthy."""
    return choosing.all_well()


@pytest.fixture
def host() -> breakers.Fleet:
    """Three workers on one board."""
    return breakers.Fleet()
