"""What do all tests share? The event loop that production runs on."""

import pytest


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """Asyncio on uvloop: sockets, timers and cancellation behave as they do in a worker."""
    return "asyncio", {"use_uvloop": True}
