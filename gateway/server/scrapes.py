"""How is a scrape answered? By Prometheus' own library, with all workers' figures, in a thread for each connection."""

import logging
import socket
import sys
import threading
from collections.abc import Iterator
from itertools import accumulate
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from gateway.observability.families.catalogue import CATALOGUE
from gateway.observability.families.family import Family, Kind
from gateway.observability.totals import Totals

logger = logging.getLogger(__name__)

Request = socket.socket | tuple[bytes, socket.socket]
"""What socketserver calls a connection."""
MAX_SCRAPES = 16
"""Connections that are served at a time; more are closed. Each costs the supervisor a thread and a descriptor, which it
needs to replace a worker."""
SCRAPE_SECS = 10
"""How long a connection may be silent; Prometheus' own scrape timeout."""


class Handler(WSGIRequestHandler):
    """One connection of whoever scrapes."""

    timeout = SCRAPE_SECS

    def log_message(self, *_: object) -> None:
        """A scrape is not worth a line."""


class ScrapeServer(ThreadingMixIn, WSGIServer):
    """A thread for each connection, and no more than `MAX_SCRAPES` of them.

    Args:
        listener: bound and listening; it is the server's to close.
        totals: what is shown.
    """

    daemon_threads = True

    def __init__(self, listener: socket.socket, totals: Totals) -> None:
        self._room = threading.BoundedSemaphore(MAX_SCRAPES)
        self.server_name, self.server_port = listener.getsockname()[:2]
        super().__init__((self.server_name, self.server_port), Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.setup_environ()
        registry = CollectorRegistry()
        registry.register(WorkersCollector(totals))
        self.set_app(make_wsgi_app(registry))

    def process_request(self, request: Request, client_address: object) -> None:
        """Serve a connection in a thread, or close it when there are too many."""
        if self._room.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Request, client_address: object) -> None:
        """Serve it, and make room for another."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Request, client_address: object) -> None:
        """Nearly always whoever scrapes has gone or was silent, about which nobody has to do anything."""
        del request
        error = sys.exc_info()[1]
        logger.debug("scrape_failed", extra={"client": client_address, "why": repr(error)})


class WorkersCollector(Collector):
    """What `/metrics` shows: every family of the catalogue, summed over the workers."""

    def __init__(self, totals: Totals) -> None:
        self._totals = totals

    def collect(self) -> Iterator[Metric]:
        """The figures of this moment, as the library renders them."""
        sums = self._totals.sums()
        for family in CATALOGUE:
            yield as_metric(family, sums.get(family.name, {}))


def as_metric(family: Family, series: dict[tuple[str, ...], list[float]]) -> Metric:
    """One family as the library knows it; `series` as in `totals.Sums`."""
    if family.kind is Kind.HISTOGRAM:
        bounds = [*map(str, family.buckets), "+Inf"]
        histogram = HistogramMetricFamily(family.name, family.help, labels=family.labels, unit=family.unit)
        for labels, (total, *buckets) in series.items():
            counts = list(zip(bounds, accumulate(buckets), strict=True))
            histogram.add_metric(labels, buckets=counts, sum_value=total)
        return histogram
    kind = CounterMetricFamily if family.kind is Kind.COUNTER else GaugeMetricFamily
    metric = kind(family.name, family.help, labels=family.labels, unit=family.unit)
    for labels, (figure,) in series.items():
        metric.add_metric(labels, figure)
    return metric
