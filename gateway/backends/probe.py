"""Does this backend serve its model now, and what does its engine do? One probe: three GETs that cost no token."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import httpx
import msgspec

from gateway.backends.health import Finding
from gateway.backends.reasons import Reason
from gateway.backends.roster import Roster, build_roster
from gateway.backends.vllm_metrics import MAX_PAGE_BYTES, Figures, read_figures
from gateway.core.clock import Clock
from gateway.core.fleet import Backend

if TYPE_CHECKING:
    from gateway.backends.settings import BackendSettings

MAX_MODELS_BYTES = 1024 * 1024
"""A list of models has some kilobytes."""


class _Answer(NamedTuple):
    """A status, and the body as far as it was wanted."""

    status: int
    body: bytes


class TooLongError(httpx.HTTPError):
    """An answer has more bytes than anybody wants of it."""


class _Card(msgspec.Struct):
    id: str
    max_model_len: int | None = None


class _Cards(msgspec.Struct):
    data: list[_Card]


def new_client(settings: "BackendSettings", ca_file: Path | None, roster: Roster | None = None) -> httpx.AsyncClient:
    """The client for probes; the caller closes it.

    It keeps no connection: a probe is to find out whether one can be made, and vLLM closes idle ones after 5.0 s.
    Proxy variables and .netrc of the environment are not for backends.

    Args:
        settings: the key, the bound and the URLs.
        ca_file: the authorities that requests to https backends believe in; None: the system's.
        roster: who is to be probed; None: whom the settings describe.
    """
    return httpx.AsyncClient(
        headers={
            "authorization": f"Bearer {settings.backend_api_key.get_secret_value()}",
            "accept-encoding": "identity",  # what is bounded is what is read, not what it would unfold to
        },
        timeout=settings.backend_probe_timeout_secs,
        limits=httpx.Limits(max_keepalive_connections=0),
        trust_env=False,
        verify=trusted(build_roster(settings) if roster is None else roster, ca_file),
    )


def speaks_tls(roster: Roster) -> bool:
    """Whether any backend speaks https."""
    return any(backend.url.lower().startswith("https:") for _, backend in roster.backends())


def trusted(roster: Roster, ca_file: Path | None) -> ssl.SSLContext:
    """Whose certificates are believed: the same authorities' as for requests, nobody's where no backend speaks TLS.

    To read the authorities is 20 ms.
    """
    if speaks_tls(roster):
        return ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


async def probe(client: httpx.AsyncClient, backend: Backend, model: str, timeout: float, clock: Clock) -> Finding:  # noqa: ASYNC109 -- the bound spans all requests, and the caller must not see its TimeoutError
    """Ask `/health`, `/v1/models` and `/metrics`; every failure is a finding, none is raised.

    The page comes last, so that it counts this probe's look at the models: asked beside it, one in four of vLLM's pages
    looked like an old one (`Figures.listed`). For what is silent until then, half of the time is enough.

    Args:
        client: from `new_client`.
        backend: the server to ask.
        model: the name under which the backend must serve.
        timeout: seconds for the whole probe.
        clock: measures the latency.
    """
    listed = asyncio.Event()

    async def serving() -> Finding:
        try:
            return await _serves(client, backend, model, timeout, clock)
        finally:
            listed.set()

    serves, figures = await asyncio.gather(serving(), _figures(client, backend, timeout, listed))
    return serves._replace(figures=figures)


async def _serves(client: httpx.AsyncClient, backend: Backend, model: str, timeout: float, clock: Clock) -> Finding:  # noqa: ASYNC109 -- as above
    try:
        async with asyncio.timeout(timeout):
            began = clock.monotonic()
            health = await _get(client, f"{backend.url}/health", MAX_MODELS_BYTES)
            latency = clock.monotonic() - began
            if health.status == HTTPStatus.NOT_FOUND:
                return Finding(Reason.WRONG_URL, latency)
            if health.status != HTTPStatus.OK:
                return Finding(Reason.UNHEALTHY, latency)
            answer = await _get(client, f"{backend.url}/v1/models", MAX_MODELS_BYTES)
    except (TimeoutError, httpx.ReadTimeout):
        return Finding(Reason.TIMEOUT)
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        return Finding(why_not_connected(error))
    except (httpx.HTTPError, httpx.InvalidURL):
        return Finding(Reason.BAD_ANSWER)
    return _read_models(answer, model, latency)


async def _figures(
    client: httpx.AsyncClient,
    backend: Backend,
    timeout: float,  # noqa: ASYNC109 -- as above
    listed: asyncio.Event,
) -> Figures | None:
    """What `/metrics` says; None for whatever goes wrong: it decides nothing alone."""
    try:
        async with asyncio.timeout(timeout):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(listed.wait(), timeout / 2)
            page = await _get(client, f"{backend.url}/metrics", MAX_PAGE_BYTES)
    except (TimeoutError, httpx.HTTPError, httpx.InvalidURL):
        return None
    return read_figures(page.body) if page.status == HTTPStatus.OK else None


async def _get(client: httpx.AsyncClient, url: str, limit: int) -> _Answer:
    """One answer.

    Raises:
        TooLongError: it has more than `limit` bytes.
        httpx.HTTPError: there was none.
    """
    body = bytearray()
    async with client.stream("GET", url) as answer:
        async for part in answer.aiter_raw():
            body += part
            if len(body) > limit:
                raise TooLongError(f"more than {limit} bytes")
    return _Answer(answer.status_code, bytes(body))


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


def _read_models(answer: _Answer, model: str, latency: float) -> Finding:
    if answer.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return Finding(Reason.WRONG_KEY, latency)
    if answer.status == HTTPStatus.NOT_FOUND:
        return Finding(Reason.WRONG_URL, latency)
    try:
        cards = msgspec.json.decode(answer.body, type=_Cards).data if answer.status == HTTPStatus.OK else None
    except msgspec.MsgspecError:
        cards = None
    if cards is None:
        return Finding(Reason.BAD_ANSWER, latency)
    names = tuple(card.id for card in cards)
    if model not in names:
        return Finding(Reason.MODEL_MISSING, latency, names)
    return Finding(Reason.OK, latency, names, _context_length(cards, model))


def _context_length(cards: Iterable[_Card], model: str) -> int | None:
    """None for what is no length, which would refuse every request."""
    stated = next(card.max_model_len for card in cards if card.id == model)
    return stated if stated is not None and stated > 0 else None
