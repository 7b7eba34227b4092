"""Prometheus reads the workers' figures as its own library would have written them."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.openmetrics import exposition
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from gateway.observability.families.catalogue import CATALOGUE
from gateway.observability.families.family import Family, Kind
from gateway.observability.families.limits import RETRY_BUDGET
from gateway.observability.families.requests import DURATION, IN_FLIGHT, QUEUE_WAIT, REQUESTS, TOKENS
from gateway.observability.logs import fields_of
from gateway.observability.metrics import Metrics
from gateway.observability.redaction import Redactor
from gateway.observability.totals import Totals
from gateway.server.listening import CannotListenError
from gateway.server.metrics import MetricsExporter
from gateway.server.scrapes import MAX_SCRAPES, Handler, WorkersCollector
from tests.support.gateway import wait_until
from tests.support.promtool import run_tool

Samples = set[tuple[str, frozenset[tuple[str, str]], float]]

UPDATES: list[tuple[Family, tuple[str, ...], float]] = [
    (REQUESTS, ("/v1/chat/completions", "chat", "200", "ok"), 1),
    (REQUESTS, ("other", "", "404", 'quo"te\\\n'), 1),
    (TOKENS, ("chat", "prompt"), 2.0**53),
    (IN_FLIGHT, (), 3),
    (QUEUE_WAIT, ("chat",), 0.005),
    (QUEUE_WAIT, ("chat",), 0.3),
    (QUEUE_WAIT, ("chat",), 99.0),
    (DURATION, ("/v1", "chat"), 5400.0),
    (RETRY_BUDGET, (), 0.25),  # which nobody shows who has none
]


def update(metrics: Metrics) -> None:
    for family, labels, value in UPDATES:
        if family.kind is Kind.HISTOGRAM:
            metrics.observe(family, value, *labels)
        elif family.kind is Kind.GAUGE:
            metrics.move(family, value)
        else:
            metrics.count(family, *labels, amount=value)


def librarys_own() -> CollectorRegistry:
    """The same families and updates, kept by prometheus_client itself."""
    registry = CollectorRegistry()
    for family in CATALOGUE:
        updates = [(labels, value) for one, labels, value in UPDATES if one is family]
        if family.kind is Kind.HISTOGRAM:
            histogram = Histogram(family.name, family.help, family.labels, registry=registry, buckets=family.buckets)
            for labels, value in updates:
                histogram.labels(*labels).observe(value)
        else:
            kind = Gauge if family.kind is Kind.GAUGE else Counter
            metric = kind(family.name, family.help, family.labels, registry=registry)
            for labels, value in updates:
                (metric.labels(*labels) if labels else metric).inc(value)
    return registry


def samples(text: str) -> Samples:
    """Every sample but the times of creation, which a sum over workers cannot have."""
    return {
        (sample.name, frozenset(sample.labels.items()), sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def headers(text: str) -> set[str]:
    return {line for line in text.splitlines() if line.startswith("#") and "_created" not in line}


def test_the_text_is_what_the_library_would_write_for_one_process() -> None:
    totals = Totals()
    registry = CollectorRegistry()
    registry.register(WorkersCollector(totals))
    with totals.page() as page:
        update(Metrics(page))
        ours, theirs = (generate_latest(one).decode() for one in (registry, librarys_own()))
    assert samples(ours) == samples(theirs)
    assert headers(ours) == headers(theirs)


def shown(render: Callable[[CollectorRegistry], bytes]) -> str:
    """Every family with a series."""
    totals, registry = Totals(), CollectorRegistry()
    registry.register(WorkersCollector(totals))
    with totals.page() as page:
        metrics = Metrics(page)
        for family in CATALOGUE:
            if family.kind is Kind.HISTOGRAM:
                metrics.observe(family, 0.5, *family.labels)
            else:
                metrics.count(family, *family.labels)
        return render(registry).decode()


def test_what_openmetrics_has_is_read_back_with_its_units() -> None:
    text = shown(exposition.generate_latest)
    families = openmetrics.text_string_to_metric_families(text)  # type: ignore[no-untyped-call]  # the library's
    read = {family.name: family for family in families}
    assert read.keys() == {family.name for family in CATALOGUE}
    units = {"_seconds": "seconds", "_bytes": "bytes", "_ratio": "ratio"}
    for family in CATALOGUE:
        told = read[family.name]
        assert (told.type, told.documentation) == (family.kind, family.help)
        assert told.unit == next((unit for ending, unit in units.items() if family.name.endswith(ending)), "")
    assert {family.unit for family in CATALOGUE} == {"", *units.values()}


def test_prometheus_own_tool_finds_nothing_wrong_with_the_page(tmp_path: Path) -> None:
    seen = run_tool("promtool", "check", "metrics", cwd=tmp_path, text=shown(generate_latest))
    assert (seen.returncode, seen.stdout, seen.stderr) == (0, "", "")


@pytest.fixture
def exporter() -> Iterator[MetricsExporter]:
    one = MetricsExporter()
    yield one
    one.close()


def test_a_scrape_adds_up_the_living_and_the_dead(exporter: MetricsExporter) -> None:
    port = exporter.listen("127.0.0.1", 0)
    exporter.answer()

    def scrape() -> dict[str, float]:
        text = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
        return {name + "".join(sorted(dict(labels).values())): value for name, labels, value in samples(text)}

    with exporter.page() as first:
        update(Metrics(first))
        with exporter.page() as second:
            update(Metrics(second))
            both = scrape()
        one = scrape()
    none = scrape()
    assert [seen["gateway_in_flight_requests"] for seen in (both, one, none)] == [6, 3, 0]
    for name in ("gateway_requests_total/v1/chat/completions200chatok", "gateway_queue_wait_seconds_bucket0.005chat"):
        assert both[name] == one[name] == none[name] == 2
    assert none["gateway_queue_wait_seconds_countchat"] == 6


def test_a_scrape_before_the_workers_serve_waits_for_them(exporter: MetricsExporter) -> None:
    port = exporter.listen("127.0.0.1", 0)
    with socket.create_connection(("127.0.0.1", port), timeout=20) as early:
        early.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        exporter.answer()
        assert early.recv(4096).startswith(b"HTTP/1.0 200 ")


def test_an_exporter_that_never_answered_gives_its_port_back() -> None:
    exporter = MetricsExporter()
    port = exporter.listen("127.0.0.1", 0)
    exporter.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_idle_scrapers_are_few_and_do_not_last(exporter: MetricsExporter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Handler, "timeout", 0.5)
    port = exporter.listen("127.0.0.1", 0)
    exporter.answer()
    before = threading.active_count()
    with ExitStack() as idle:
        sockets = [idle.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(3 * MAX_SCRAPES)]
        for one in sockets:
            one.settimeout(20)
        for one in sockets[MAX_SCRAPES:]:
            assert one.recv(1) == b""
        assert threading.active_count() <= before + MAX_SCRAPES
        for one in sockets[:MAX_SCRAPES]:
            assert one.recv(1) == b""
        text = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
        assert "gateway_in_flight_requests" in text


def test_who_broke_off_a_scrape_is_said_by_an_address_that_can_be_masked(
    exporter: MetricsExporter, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "gateway.server.scrapes")
    port = exporter.listen("127.0.0.1", 0)
    exporter.answer()
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"GET /metrics")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closing resets it
        client_port = client.getsockname()[1]
    (record,) = wait_until(lambda: [one for one in caplog.records if one.message == "scrape_failed"])
    assert Redactor(mask=True).fields(fields_of(record))["client"] == ["127.0.0.0", client_port]


def test_a_port_that_is_taken_is_said_in_one_line(exporter: MetricsExporter) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotListenError, match=f"cannot serve metrics on 127.0.0.1:{port}: Address already in"):
            exporter.listen("127.0.0.1", port)
