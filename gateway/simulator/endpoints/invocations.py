"""POST /invocations: full inference on a path that no key guards, whichever endpoint the body fits."""

from gateway.simulator.endpoints.chat import chat
from gateway.simulator.endpoints.completions import completions
from gateway.simulator.exchange import Exchange
from gateway.simulator.service import Service


async def invocations(service: Service, exchange: Exchange, data: object) -> None:
    """Answer as a completion where there are no messages, else as a chat."""
    prompted = isinstance(data, dict) and "messages" not in data
    await (completions if prompted else chat)(service, exchange, data)
