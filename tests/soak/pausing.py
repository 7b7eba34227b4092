"""Is it over? What is done now and then while the load runs asks this in between."""

import asyncio


async def is_over(over: asyncio.Event, within: float) -> bool:
    """Wait for so many seconds, or until it is over; whether it is."""
    try:
        async with asyncio.timeout(within):
            await over.wait()
    except TimeoutError:
        return False
    return True
