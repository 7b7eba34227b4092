"""Does this backend serve its model now? One probe: two GET requests that cost no token."""

import asyncio
import socket
import ssl
from collections.abc import Iterable, Iterator
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
    UNRESOLVED = "unresolved"
    NO_ROUTE = "no_route"
    TLS_FAILED = "tls_failed"
    TIMEOUT = "timeout"
    UNHEALTHY = "unhealthy"
    WRONG_URL = "wrong_url"
    WRONG_KEY = "wrong_key"
    MODEL_MISSING = "model_missing"
    BAD_ANSWER = "bad_answer"


EXPLANATIONS = {
    Reason.OK: "The backend answers and serves its model.",
    Reason.NOT_PROBED: "The first probe has not ended yet: ask again in a few seconds.",
    Reason.UNREACHABLE: (
        "The connection is refused: the server is not up, or still loads its model with the port closed. "
        "Wait while it loads; otherwise look at its log, and compare the URL's port with the server's --port."
    ),
    Reason.UNRESOLVED: (
        "The URL's host name does not resolve: correct it in the backend's setting, or start the container of that "
        "name (Compose knows a name only while its container runs)."
    ),
    Reason.NO_ROUTE: (
        "No connection could be made to the host: see that it is up and that no firewall or separate network stands "
        "between it and the gateway."
    ),
    Reason.TLS_FAILED: (
        "The TLS handshake failed: see that the server speaks https on that port, that its certificate is valid for "
        "the URL's host, and that UPSTREAM_CA_FILE names the authority that signed it."
    ),
    Reason.TIMEOUT: (
        "The backend took the connection and did not answer within BACKEND_PROBE_TIMEOUT_SECS: look at its log and "
        "load, and restart it when it hangs."
    ),
    Reason.UNHEALTHY: (
        "GET /health did not answer 200: the engine is dead or shutting down. Look at the server's log; restart it "
        "when it does not come back by itself."
    ),
    Reason.WRONG_URL: (
        "GET /health or /v1/models answered 404: what listens there is no vLLM server, or the URL has a path too many. "
        "Give scheme, host and port alone, as http://chat0:8000."
    ),
    Reason.WRONG_KEY: (
        "The backend refuses BACKEND_API_KEY: give the gateway the key that the server was started with "
        "(VLLM_API_KEY or --api-key), and restart whichever was changed."
    ),
    Reason.MODEL_MISSING: (
        "The backend is up, but the configured model is not in its list: set the group's _MODEL (CHAT_MODEL, ...) to "
        "a name that the server lists, or start the server with that --served-model-name."
    ),
    Reason.BAD_ANSWER: (
        "The answer was broken, or GET /v1/models did not answer with a list of models: see that a vLLM server "
        "listens at the URL, and that http and https are not mixed up."
    ),
}
"""What is the matter and what to do about it, for operators."""


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
        verify=trusted(settings),
    )


def trusted(settings: BackendSettings) -> ssl.SSLContext | bool:
    """Whose certificates are believed: the public authorities' (True), nobody's where no backend speaks TLS.

    To read the authorities is 20 ms of each worker's start.
    """
    singles = (settings.text2sql_backend, settings.embed_backend, settings.rerank_backend)
    if any(url.lower().startswith("https:") for url in (*settings.chat_backends, *singles)):
        return True
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


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
            if health.status_code == HTTPStatus.NOT_FOUND:
                return Finding(Reason.WRONG_URL, latency)
            if health.status_code != HTTPStatus.OK:
                return Finding(Reason.UNHEALTHY, latency)
            answer = await client.get(f"{backend.url}/v1/models")
    except (TimeoutError, httpx.ReadTimeout):
        return Finding(Reason.TIMEOUT)
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        return Finding(why_not_connected(error))
    except (httpx.HTTPError, httpx.InvalidURL):
        return Finding(Reason.BAD_ANSWER)
    return _read_models(answer, model, latency)


def why_not_connected(error: httpx.HTTPError) -> Reason:
    """What stood at the root: the library has one exception for a name, a closed port and a handshake."""
    roots = list(_causes(error))
    rows = (
        (socket.gaierror, Reason.UNRESOLVED),
        (ssl.SSLError, Reason.TLS_FAILED),
        (ConnectionRefusedError, Reason.UNREACHABLE),
    )
    found = (reason for kind, reason in rows if any(isinstance(root, kind) for root in roots))
    return next(found, Reason.NO_ROUTE)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and all that led to it; a name with several addresses fails once for each."""
    yield error
    inner = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    for cause in (*inner, error.__cause__ or error.__context__):
        if cause is not None:
            yield from _causes(cause)


def _read_models(answer: httpx.Response, model: str, latency: float) -> Finding:
    if answer.status_code in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return Finding(Reason.WRONG_KEY, latency)
    if answer.status_code == HTTPStatus.NOT_FOUND:
        return Finding(Reason.WRONG_URL, latency)
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
