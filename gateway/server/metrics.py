"""Who answers Prometheus? The supervisor, for all workers together, so that a scrape blocks no request."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from itertools import accumulate
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from gateway.observability.metrics import CATALOGUE, Family, Kind
from gateway.observability.totals import Totals
from gateway.server.listening import CannotListenError


class FleetCollector(Collector):
    """What `/metrics` shows: every family of the catalogue, summed over the workers."""

    def __init__(self, totals: Totals) -> None:
        self._totals = totals

    def collect(self) -> Iterator[Metric]:
        """The figures of this moment, as the library renders them."""
        sums = self._totals.sums()
        for family in CATALOGUE:
            yield as_metric(family, sums.get(family.name, {}))


class MetricsExporter:
    """The workers' figures, which every worker writes into a page of memory that the supervisor reads."""

    def __init__(self) -> None:
        self._totals = Totals()
        self._server: WSGIServer | None = None

    def page(self) -> AbstractContextManager[int]:
        """A new worker's page, as a descriptor to inherit, for as long as the worker lives.

        Raises:
            OSError: there is no memory, or no descriptor, for it.
        """
        return self._totals.page()

    def serve(self, host: str, port: int) -> int:
        """Answer `GET /metrics` from a thread of this process; the port that was bound.

        Raises:
            CannotListenError: the port is taken.
        """
        registry = CollectorRegistry()
        registry.register(FleetCollector(self._totals))
        try:
            self._server, _ = start_http_server(port, host, registry)
        except OSError as error:
            raise CannotListenError(f"cannot serve metrics on {host}:{port}: {error.strerror}") from error
        return int(self._server.server_port)

    def close(self) -> None:
        """Stop answering."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()


def as_metric(family: Family, series: dict[tuple[str, ...], list[float]]) -> Metric:
    """One family as the library knows it; `series` as in `totals.Sums`."""
    if family.kind is Kind.HISTOGRAM:
        bounds = [*map(str, family.buckets), "+Inf"]
        histogram = HistogramMetricFamily(family.name, family.help, labels=family.labels)
        for labels, (total, *buckets) in series.items():
            counts = list(zip(bounds, accumulate(buckets), strict=True))
            histogram.add_metric(labels, buckets=counts, sum_value=total)
        return histogram
    kind = CounterMetricFamily if family.kind is Kind.COUNTER else GaugeMetricFamily
    metric = kind(family.name, family.help, labels=family.labels)
    for labels, (figure,) in series.items():
        metric.add_metric(labels, figure)
    return metric
