"""What do all tests share? The event loop that production runs on, and examples that may take as long as they do."""

import pytest
from hypothesis import settings

settings.register_profile("house", deadline=None)  # how long one takes says how busy the machine is
settings.load_profile("house")


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """Asyncio on uvloop: sockets, timers and cancellation behave as they do in a worker."""
    return "asyncio", {"use_uvloop": True}
