"""The backend that the tests of this room talk to."""

from collections.abc import AsyncIterator

import pytest

from tests.backends.scripted import ScriptedBackend


@pytest.fixture
async def backend() -> AsyncIterator[ScriptedBackend]:
    """A healthy backend that serves `qwen`."""
    async with ScriptedBackend() as scripted:
        yield scripted
