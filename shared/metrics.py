"""Prometheus collectors that every process exports, one registry per process."""

from __future__ import annotations

import asyncio
import time

from prometheus_client import CollectorRegistry, Gauge, Histogram, Info
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from shared.tally import Cell, Durations, Series, Tally
from shared.version import VERSION

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
DURATION_BUCKETS = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
)  # fmt: skip
LAG_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0)


def new_registry(service: str) -> CollectorRegistry:
    """A registry with the process's own figures and its build in it."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    Info("tasklane_build", "Which build this is", registry=registry).info(
        {"service": service, "version": VERSION}
    )
    return registry


class HttpMetrics:
    """Requests by method, route template and status. Labels are bounded: never a raw path."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Tally(
            "http_requests_total",
            "Requests answered",
            ("method", "route", "status"),
            registry=registry,
        )
        self._duration = Durations(
            "http_request_duration_seconds",
            "Time from the request's head to the end of the answer",
            ("method", "route"),
            bounds=DURATION_BUCKETS,
            registry=registry,
        )
        # A plain number that is read by a scrape: a Gauge locks whenever it moves.
        self.under_way = 0
        self.in_flight = Gauge(
            "http_requests_in_flight", "Requests being served", registry=registry
        )
        self.in_flight.set_function(lambda: self.under_way)

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Books one finished request; a method of no standard counts as OTHER."""
        requests, durations = self.book(method, route, status)
        requests.count += 1
        durations.observe(seconds)

    def book(self, method: str, route: str, status: int) -> tuple[Cell, Series]:
        """Where such requests are counted, and how long they took."""
        if method not in METHODS:
            method = "OTHER"
        cell = self._requests.cell((method, route, str(status)))
        return cell, self._duration.series((method, route))


class LoopLag:
    """How late the event loop wakes a sleeper: what a blocking call costs everybody else."""

    def __init__(self, registry: CollectorRegistry, *, interval_seconds: float = 0.25) -> None:
        self._interval_seconds = interval_seconds
        self._latest = Gauge(
            "event_loop_lag_latest_seconds", "The last measured lag", registry=registry
        )
        self._lag = Histogram(
            "event_loop_lag_seconds",
            "Lag of the event loop",
            buckets=LAG_BUCKETS,
            registry=registry,
        )

    async def watch(self) -> None:
        """Measures for ever; a background task runs it."""
        while True:
            due = time.perf_counter() + self._interval_seconds
            await asyncio.sleep(self._interval_seconds)
            lag = max(0.0, time.perf_counter() - due)
            self._latest.set(lag)
            self._lag.observe(lag)
