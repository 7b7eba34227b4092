"""What does the server say about itself? Health, models, version, load, metrics."""

from secrets import token_hex

from gateway.simulator import metrics
from gateway.simulator.exchange import Exchange
from gateway.simulator.pace import wall_seconds
from gateway.simulator.service import Service

VERSION = "0.32.0"


async def health(service: Service, exchange: Exchange) -> None:
    """200 and an empty body as long as the engine is not known to be dead: a hung engine looks healthy."""
    await exchange.answer(b"", [], 503 if service.engine.dead else 200)


async def ping(service: Service, exchange: Exchange, _data: object = None) -> None:
    """The same as health, by GET or POST."""
    await health(service, exchange)


async def version(_service: Service, exchange: Exchange) -> None:
    """The version that is played."""
    await exchange.json({"version": VERSION})


async def load(service: Service, exchange: Exchange) -> None:
    """Requests in flight, queued ones included; always 0 without --enable-server-load-tracking."""
    await exchange.json({"server_load": service.load})


async def prometheus(service: Service, exchange: Exchange) -> None:
    """The metrics, without a key."""
    await exchange.answer(service.metrics.render(), [(b"content-type", metrics.CONTENT_TYPE.encode())])


async def kv_event_sources(_service: Service, exchange: Exchange) -> None:
    """No rank publishes cache events."""
    await exchange.json({})


async def models(service: Service, exchange: Exchange) -> None:
    """Every name the model is served under."""
    await exchange.json({"object": "list", "data": [_card(service, name) for name in service.options.served]})


def _card(service: Service, name: str) -> dict[str, object]:
    now = wall_seconds()
    permission = {
        "id": f"modelperm-{token_hex(8)}",
        "object": "model_permission",
        "created": now,
        "allow_create_engine": False,
        "allow_sampling": True,
        "allow_logprobs": True,
        "allow_search_indices": False,
        "allow_view": True,
        "allow_fine_tuning": False,
        "organization": "*",
        "group": None,
        "is_blocking": False,
    }
    return {
        "id": name,
        "object": "model",
        "created": now,
        "owned_by": "vllm",
        "root": service.options.model,
        "parent": None,
        "max_model_len": service.options.max_model_len,
        "permission": [permission],
    }
