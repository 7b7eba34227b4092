"""One probe: what each answer of a backend is taken for."""

import asyncio
import gzip
import re
import socket
import ssl
from pathlib import Path

import httpx
import pytest
import respx

from gateway.backends.health import Finding
from gateway.backends.probe import MAX_MODELS_BYTES, new_client, probe, trusted, why_not_connected
from gateway.backends.reasons import EXPLANATIONS, Reason
from gateway.backends.roster import build_roster
from gateway.backends.settings import BackendSettings
from gateway.backends.vllm_metrics import MAX_PAGE_BYTES
from gateway.core.clock import SystemClock
from gateway.core.fleet import Backend
from tests.backends.scripted import ScriptedBackend, page
from tests.support.certificates import self_signed

pytestmark = pytest.mark.anyio

KEY = "sk-backends-4f2a"


async def find(url: str, *, timeout: float = 5.0, ca_file: Path | None = None) -> Finding:  # noqa: ASYNC109 -- the probe's own bound
    # httpx's own bound, per read, is put out of reach: a backend that drips bytes would never meet it.
    fields = {"backend_api_key": KEY, "chat_backends": url, "backend_probe_timeout_secs": 500}
    settings = BackendSettings.model_validate(fields)
    async with new_client(settings, ca_file) as client:
        return await probe(client, Backend("chat0", url), "qwen", timeout, SystemClock())


async def test_a_backend_that_serves_its_model_teaches_its_names_and_context(backend: ScriptedBackend) -> None:
    backend.models = ("other", "qwen")
    finding = await find(backend.url)
    assert finding.reason is Reason.OK
    assert finding.models == ("other", "qwen")
    assert finding.max_model_len == 8192
    assert finding.latency is not None


@pytest.mark.parametrize("stated", [0, -1, -5])
async def test_a_context_length_that_is_none_is_not_believed(backend: ScriptedBackend, stated: int) -> None:
    backend.max_model_len = stated
    finding = await find(backend.url)
    assert (finding.reason, finding.max_model_len) == (Reason.OK, None)


async def test_the_probe_shows_the_backends_key_and_asks_three_questions(backend: ScriptedBackend) -> None:
    await find(backend.url)
    assert sorted(backend.asked) == [(path, f"Bearer {KEY}") for path in ("/health", "/metrics", "/v1/models")]


async def test_the_engines_figures_are_part_of_the_finding(backend: ScriptedBackend) -> None:
    backend.metrics = page(running=3, waiting=2, generated=7)
    figures = (await find(backend.url)).figures
    assert figures is not None
    assert (figures.running, figures.waiting, figures.generated) == (3, 2, 7)


async def test_figures_are_read_up_to_a_bound_and_no_further(backend: ScriptedBackend) -> None:
    rest = MAX_PAGE_BYTES - len(page(running=1))
    backend.metrics = page(running=1) + b"#" * rest
    assert (await find(backend.url)).figures is not None
    backend.metrics += b"#"
    finding = await find(backend.url)
    assert (finding.reason, finding.figures) == (Reason.OK, None)


async def test_figures_that_never_come_are_none(backend: ScriptedBackend) -> None:
    backend.slow = {"/metrics"}
    finding = await find(backend.url, timeout=1.0)
    assert (finding.reason, finding.figures) == (Reason.OK, None)


async def test_figures_come_also_when_the_health_check_does_not(backend: ScriptedBackend) -> None:
    backend.slow = {"/health"}
    backend.metrics = page(running=1)
    finding = await find(backend.url, timeout=1.0)
    assert finding.reason is Reason.TIMEOUT
    assert finding.figures is not None


async def test_the_page_is_asked_for_when_the_models_are_listed_so_that_it_counts_them(
    backend: ScriptedBackend,
) -> None:
    for _ in range(5):
        backend.asked.clear()
        await find(backend.url)
        assert [path for path, _ in backend.asked] == ["/health", "/v1/models", "/metrics"]


async def test_a_list_of_models_is_read_up_to_a_bound(backend: ScriptedBackend) -> None:
    backend.raw_models = b'{"data": [{"id": "qwen"}]}'.ljust(MAX_MODELS_BYTES)
    assert (await find(backend.url)).reason is Reason.OK
    backend.raw_models += b" "
    assert (await find(backend.url)).reason is Reason.BAD_ANSWER


def test_authorities_are_read_where_a_backend_speaks_tls_and_nobody_is_believed_otherwise() -> None:
    fields = {"backend_api_key": KEY, "chat_backends": "http://chat0:8000"}
    nobody = trusted(build_roster(BackendSettings.model_validate(fields)), None)
    assert nobody.cert_store_stats()["x509"] == 0
    assert nobody.verify_mode is ssl.CERT_REQUIRED
    systems = ssl.create_default_context().cert_store_stats()
    for https in ({"chat_backends": "http://a,HTTPS://b"}, {"embed_backend": "https://embed"}):
        trusting = trusted(build_roster(BackendSettings.model_validate({**fields, **https})), None)
        assert trusting.cert_store_stats() == systems
        assert (trusting.verify_mode, trusting.check_hostname) == (ssl.CERT_REQUIRED, True)


async def test_the_authority_that_requests_believe_in_is_believed_by_probes_too(tmp_path: Path) -> None:
    certificate, context = self_signed(tmp_path)
    async with ScriptedBackend(tls=context) as backend:
        assert (await find(backend.url, ca_file=certificate)).reason is Reason.OK
        assert (await find(backend.url)).reason is Reason.TLS_FAILED


async def test_a_wrong_key_is_called_a_wrong_key(backend: ScriptedBackend) -> None:
    backend.key = "sk-another"
    assert (await find(backend.url)).reason is Reason.WRONG_KEY


async def test_a_server_that_would_compress_is_told_not_to() -> None:
    """What it packed would have to be unfolded to be read, and to what size nobody knows."""

    def answer(request: httpx.Request) -> httpx.Response:
        body = b'{"data": [{"id": "qwen"}]}'
        if "gzip" not in request.headers["accept-encoding"]:
            return httpx.Response(200, content=body)
        return httpx.Response(200, content=gzip.compress(body), headers={"content-encoding": "gzip"})

    with respx.mock(base_url="http://chat0:8000", assert_all_mocked=False) as fake:
        fake.get("/health").respond(200)
        fake.get("/v1/models").mock(side_effect=answer)
        assert (await find("http://chat0:8000")).reason is Reason.OK


@pytest.mark.parametrize("status", [401, 403])
async def test_a_proxy_that_refuses_the_key_is_no_different(status: int) -> None:
    with respx.mock(base_url="http://chat0:8000", assert_all_mocked=False) as fake:
        fake.get("/health").respond(200)
        fake.get("/v1/models").respond(status, json={"error": "Unauthorized"})
        assert (await find("http://chat0:8000")).reason is Reason.WRONG_KEY


async def test_a_backend_with_other_models_lacks_ours(backend: ScriptedBackend) -> None:
    backend.models = ("llama",)
    finding = await find(backend.url)
    assert finding.reason is Reason.MODEL_MISSING
    assert finding.models == ("llama",)


async def test_a_dead_engine_is_unhealthy_and_asked_no_further(backend: ScriptedBackend) -> None:
    backend.health = 503
    assert (await find(backend.url)).reason is Reason.UNHEALTHY
    assert {path for path, _ in backend.asked} == {"/health", "/metrics"}


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"data": 7}', b'{"data": [{"name": "qwen"}]}', b""])
async def test_a_list_of_models_that_is_none_is_a_bad_answer(backend: ScriptedBackend, body: bytes) -> None:
    backend.raw_models = body
    assert (await find(backend.url)).reason is Reason.BAD_ANSWER


async def test_a_server_that_takes_the_connection_and_says_nothing_times_out(backend: ScriptedBackend) -> None:
    backend.silent = True
    assert (await find(backend.url, timeout=0.05)).reason is Reason.TIMEOUT


async def test_a_closed_port_is_unreachable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        assert (await find(f"http://127.0.0.1:{port}")).reason is Reason.UNREACHABLE


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (httpx.ConnectError("no route to host"), Reason.NO_ROUTE),
        (httpx.ConnectTimeout("dropped"), Reason.NO_ROUTE),
        (httpx.ReadTimeout("silent"), Reason.TIMEOUT),
        (httpx.RemoteProtocolError("garbage"), Reason.BAD_ANSWER),
        (httpx.ReadError("reset"), Reason.BAD_ANSWER),
    ],
)
@pytest.mark.parametrize("path", ["/health", "/v1/models"])
async def test_a_failure_of_either_question_is_a_finding(failure: httpx.HTTPError, reason: Reason, path: str) -> None:
    with respx.mock(base_url="http://chat0:8000", assert_all_called=False, assert_all_mocked=False) as fake:
        fake.get("/health").respond(200)
        fake.get(path).mock(side_effect=failure)
        finding = await find("http://chat0:8000")
    assert finding.reason is reason


def test_a_name_with_two_addresses_whose_ports_are_closed_is_unreachable_too() -> None:
    # What httpx raises for such a name, cause by cause; whether a machine has one is its own affair.
    every = OSError("All connection attempts failed")
    every.__cause__ = ExceptionGroup("both", [ConnectionRefusedError("::1"), ConnectionRefusedError("127.0.0.1")])
    failure = httpx.ConnectError("All connection attempts failed")
    failure.__cause__ = every
    assert why_not_connected(failure) is Reason.UNREACHABLE


async def test_a_name_that_does_not_resolve_is_unresolved() -> None:
    assert (await find("http://no-such-backend.invalid:8000")).reason is Reason.UNRESOLVED


async def test_https_where_http_is_spoken_is_a_failed_handshake() -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert (await find(f"https://127.0.0.1:{port}")).reason is Reason.TLS_FAILED


@pytest.mark.parametrize("path", ["/health", "/v1/models"])
async def test_a_404_is_a_wrong_url(path: str) -> None:
    with respx.mock(base_url="http://chat0:8000", assert_all_called=False, assert_all_mocked=False) as fake:
        fake.get("/health").respond(200)
        fake.get(path).respond(404, json={"detail": "Not Found"})
        assert (await find("http://chat0:8000")).reason is Reason.WRONG_URL


async def test_a_redirect_is_not_followed() -> None:
    with respx.mock(base_url="http://chat0:8000", assert_all_mocked=False) as fake:
        fake.get("/health").respond(302, headers={"location": "http://169.254.169.254/"})
        assert (await find("http://chat0:8000")).reason is Reason.UNHEALTHY


def test_every_reason_has_its_sentence() -> None:
    assert set(EXPLANATIONS) == set(Reason)


@pytest.mark.parametrize("reason", sorted(set(Reason) - {Reason.OK}))
def test_the_sentence_of_whatever_is_wrong_says_what_to_do(reason: Reason) -> None:
    advice = r"\b(ask again|wait|look at|see that|give|set|correct|start|restart)\b"
    assert re.search(advice, EXPLANATIONS[reason], re.IGNORECASE)
