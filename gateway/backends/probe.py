"""Does this backend serve its model now? One probe: two GET requests that cost no token."""

import asyncio
from collections.abc import Iterable
from enum import StrEnum
from http import HTTPStatus
from typing import NamedTuple

import httpx
import msgspec

from gateway.backends.settings import BackendSettings
from gateway.core.clock import Clock
from gateway.core.fleet import Backend


class Reason(StrEnum):
    """What a probe found, as a word for programs; `EXPLANATIONS` has the sentence for people."""

    OK = "ok"
    NOT_PROBED = "not_probed"
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    UNHEALTHY = "unhealthy"
    WRONG_KEY = "wrong_key"
    MODEL_MISSING = "model_missing"
    BAD_ANSWER = "bad_answer"


EXPLANATIONS = {
    Reason.OK: "The backend answers and serves its model.",
    Reason.NOT_PROBED: "The first probe has not ended yet.",
    Reason.UNREACHABLE: "No connection: the server is not up, or still loads its model with the port closed.",
    Reason.TIMEOUT: "The backend took the connection and did not answer within BACKEND_PROBE_TIMEOUT_SECS.",
    Reason.UNHEALTHY: "GET /health did not answer 200: the engine is dead or shutting down.",
    Reason.WRONG_KEY: "The backend refuses BACKEND_API_KEY.",
    Reason.MODEL_MISSING: "The backend is up, but the configured model is not in its list.",
    Reason.BAD_ANSWER: "GET /v1/models did not answer with a list of models.",
}


class Finding(NamedTuple):
    """What one probe learned.

    Attributes:
        reason: OK, or what is wrong.
        latency: seconds that GET /health took; None when it was not answered.
        models: the names the backend serves; empty when they were not learned.
        max_model_len: the context length of the configured model in tokens, None when the backend does not say.
    """

    reason: Reason
    latency: float | None = None
    models: tuple[str, ...] = ()
    max_model_len: int | None = None


class _Card(msgspec.Struct):
    id: str
    max_model_len: int | None = None


class _Cards(msgspec.Struct):
    data: list[_Card]


def new_client(settings: BackendSettings) -> httpx.AsyncClient:
    """The client for probes; the caller closes it.

    It keeps no connection: a probe is to find out whether one can be made, and vLLM closes idle ones after 5.0 s.
    Proxy variables and .netrc of the environment are not for backends.
    """
    return httpx.AsyncClient(
        headers={"authorization": f"Bearer {settings.backend_api_key.get_secret_value()}"},
        timeout=settings.backend_probe_timeout_secs,
        limits=httpx.Limits(max_keepalive_connections=0),
        trust_env=False,
    )


async def probe(client: httpx.AsyncClient, backend: Backend, model: str, timeout: float, clock: Clock) -> Finding:  # noqa: ASYNC109 -- the bound spans both requests, and the caller must not see its TimeoutError
    """Ask `/health` and `/v1/models`; every failure is a finding, none is raised.

    Args:
        client: from `new_client`.
        backend: the server to ask.
        model: the name under which the backend must serve.
        timeout: seconds for the whole probe.
        clock: measures the latency.
    """
    try:
        async with asyncio.timeout(timeout):
            began = clock.monotonic()
            health = await client.get(f"{backend.url}/health")
            latency = clock.monotonic() - began
            if health.status_code != HTTPStatus.OK:
                return Finding(Reason.UNHEALTHY, latency)
            answer = await client.get(f"{backend.url}/v1/models")
    except (TimeoutError, httpx.ReadTimeout):
        return Finding(Reason.TIMEOUT)
    except (httpx.ConnectError, httpx.ConnectTimeout):
        return Finding(Reason.UNREACHABLE)
    except (httpx.HTTPError, httpx.InvalidURL):
        return Finding(Reason.BAD_ANSWER)
    return _read_models(answer, model, latency)


def _read_models(answer: httpx.Response, model: str, latency: float) -> Finding:
    if answer.status_code in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return Finding(Reason.WRONG_KEY, latency)
    try:
        cards = msgspec.json.decode(answer.content, type=_Cards).data if answer.is_success else None
    except msgspec.MsgspecError:
        cards = None
    if cards is None:
        return Finding(Reason.BAD_ANSWER, latency)
    names = tuple(card.id for card in cards)
    if model not in names:
        return Finding(Reason.MODEL_MISSING, latency, names)
    return Finding(Reason.OK, latency, names, _context_length(cards, model))


def _context_length(cards: Iterable[_Card], model: str) -> int | None:
    return next(card.max_model_len for card in cards if card.id == model)
