"""Books every exchange when it is over: metrics and one access log line."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.gateway.exchange import Exchange
from services.gateway.upstream.pool import Upstream
from shared.json_text import dump_anything
from shared.logs import AccessLog
from shared.metrics import DURATION_BUCKETS, METHODS, HttpMetrics
from shared.tally import Cell, Durations, Series, Tally

# Method, route, version, status, upstream and outcome; all but the method are of bounded sets.
Kind = tuple[str, str, str | None, int, str | None, str]


@dataclass(slots=True)
class Book:
    """Where exchanges of one kind are booked, and what their log lines have in common."""

    requests: Cell
    durations: Series
    outcomes: Cell
    upstream_durations: Series
    encoded: bytes


class Observer:
    """The gateway's figures. Labels come from the configuration or from fixed lists."""

    def __init__(self, registry: CollectorRegistry, access_log: AccessLog) -> None:
        self._http = HttpMetrics(registry)
        self.in_flight = self._http.in_flight
        self._access_log = access_log
        self._books: dict[Kind, Book] = {}
        self._upstream_outcomes = Tally(
            "upstream_requests_total",
            "Requests by upstream and what became of them there",
            ("upstream", "outcome"),
            registry=registry,
        )
        self._upstream_seconds = Durations(
            "upstream_duration_seconds",
            "From the decision to the head of the upstream's answer, or to the failure",
            ("upstream",),
            bounds=DURATION_BUCKETS,
            registry=registry,
        )
        versions = Tally(
            "api_version_requests_total",
            "Requests by API version and the signal that named it",
            ("version", "signal"),
            registry=registry,
        )
        # Who still calls what: where (version, signal) is counted.
        self.version_seen: Callable[[tuple[str, str]], Cell] = versions.cell
        self._reload_success = Gauge(
            "config_last_reload_success", "1 if the last reload was taken", registry=registry
        )
        self._reloads = Counter(
            "config_reloads_total", "Reloads by result", ("result",), registry=registry
        )
        self._config_info = Gauge(
            "config_info", "The configuration in force", ("digest",), registry=registry
        )

    def config_taken(self, digest: str) -> None:
        """A configuration is in force."""
        self._reload_success.set(1)
        self._config_info.clear()
        self._config_info.labels(digest).set(1)

    def reloaded(self) -> None:
        """A reload was taken."""
        self._reloads.labels("taken").inc()

    def config_refused(self) -> None:
        """A reload was refused; the configuration in force stays."""
        self._reload_success.set(0)
        self._reloads.labels("refused").inc()

    def finished(self, exchange: Exchange, status: int, bytes_in: int, bytes_out: int) -> None:
        """Books one exchange. `status` 499 means that the client left."""
        seconds = time.perf_counter() - exchange.received_at
        method, upstream = exchange.method, exchange.upstream_name
        kind = (method, exchange.template, exchange.api_version, status, upstream, exchange.outcome)
        book = self._books.get(kind) or self._open(kind)
        book.requests.count += 1
        book.durations.observe(seconds)
        book.outcomes.count += 1
        if exchange.upstream_seconds is not None:
            book.upstream_durations.observe(exchange.upstream_seconds)
        principal = exchange.principal
        self._access_log.write(
            {
                "request_id": exchange.request_id,
                "path": exchange.path,
                "duration_ms": round(seconds * 1000, 3),
                "bytes_in": bytes_in,
                "bytes_out": bytes_out,
                "user_id": None if principal is None else principal.user_id,
                "client": exchange.client_address,
            },
            book.encoded,
        )

    def _open(self, kind: Kind) -> Book:
        """The book of a kind of exchanges; kinds with a method of no standard have none to keep."""
        method, route, version, status, upstream, outcome = kind
        fields = {
            "method": method,
            "route": route,
            "version": version,
            "status": status,
            "upstream": upstream,
            "outcome": outcome,
        }
        requests, durations = self._http.book(method, route, status)
        outcomes, upstream_durations = Cell(), Series(DURATION_BUCKETS)
        if upstream is not None:
            outcomes = self._upstream_outcomes.cell((upstream, outcome))
            upstream_durations = self._upstream_seconds.series((upstream,))
        book = Book(
            requests, durations, outcomes, upstream_durations, b"," + dump_anything(fields)[1:-1]
        )
        if method in METHODS:
            self._books[kind] = book
        return book


class DataPlaneFigures(Collector):
    """Connections on both sides, read when somebody asks."""

    def __init__(
        self, *, clients: Callable[[], int], upstreams: Callable[[], list[Upstream]]
    ) -> None:
        self._clients = clients
        self._upstreams = upstreams

    def collect(self) -> Iterable[Metric]:
        yield GaugeMetricFamily("client_connections", "Clients connected", value=self._clients())
        active = GaugeMetricFamily(
            "upstream_active_requests", "Requests under way to an upstream", labels=["upstream"]
        )
        open_breakers = GaugeMetricFamily(
            "upstream_breaker_open", "1 while an upstream is left alone", labels=["upstream"]
        )
        names = ["upstream", "endpoint"]
        connections = GaugeMetricFamily(
            "upstream_connections", "Connections to an endpoint", labels=names
        )
        idle = GaugeMetricFamily(
            "upstream_idle_connections", "Those that wait for a request", labels=names
        )
        for upstream in self._upstreams():
            active.add_metric([upstream.name], len(upstream.calls))
            open_breakers.add_metric([upstream.name], int(upstream.breaker.is_open))
            for endpoint in upstream.endpoints:
                labels = [upstream.name, endpoint.url]
                connections.add_metric(labels, endpoint.connections)
                idle.add_metric(labels, endpoint.idle)
        yield from (active, open_breakers, connections, idle)
