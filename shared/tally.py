"""Counters and histograms for the hot path: plain numbers that Prometheus reads when it scrapes.

prometheus_client locks and checks on every observation, which costs more than what is counted. A
process has one event loop, so a dictionary will do.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

Key = tuple[str, ...]


class Tally(Collector):
    """A counter by labels. The values of the labels must come from bounded sets."""

    def __init__(
        self, name: str, help_text: str, labels: Sequence[str], *, registry: CollectorRegistry
    ) -> None:
        self._name = name
        self._help = help_text
        self._labels = tuple(labels)
        self._counts: dict[Key, int] = {}
        registry.register(self)

    def add(self, key: Key, amount: int = 1) -> None:
        """Counts `amount` more for the label values `key`."""
        self._counts[key] = self._counts.get(key, 0) + amount

    def describe(self) -> Iterable[Metric]:
        return [CounterMetricFamily(self._name, self._help, labels=self._labels)]

    def collect(self) -> Iterable[Metric]:
        family = CounterMetricFamily(self._name, self._help, labels=self._labels)
        for key, count in list(self._counts.items()):
            family.add_metric(key, count)
        yield family


class Durations(Collector):
    """A histogram of seconds by labels, with fixed upper bounds."""

    def __init__(
        self,
        name: str,
        help_text: str,
        labels: Sequence[str],
        *,
        bounds: Sequence[float],
        registry: CollectorRegistry,
    ) -> None:
        self._name = name
        self._help = help_text
        self._labels = tuple(labels)
        self._bounds = tuple(bounds)
        self._shown_bounds = [str(float(bound)) for bound in bounds] + ["+Inf"]
        self._buckets: dict[Key, list[int]] = {}
        self._sums: dict[Key, float] = {}
        registry.register(self)

    def observe(self, key: Key, seconds: float) -> None:
        """Books one duration for the label values `key`."""
        buckets = self._buckets.get(key)
        if buckets is None:
            buckets = self._buckets[key] = [0] * len(self._shown_bounds)
            self._sums[key] = 0.0
        buckets[bisect_left(self._bounds, seconds)] += 1
        self._sums[key] += seconds

    def describe(self) -> Iterable[Metric]:
        return [HistogramMetricFamily(self._name, self._help, labels=self._labels)]

    def collect(self) -> Iterable[Metric]:
        family = HistogramMetricFamily(self._name, self._help, labels=self._labels)
        for key, buckets in list(self._buckets.items()):
            total, shown = 0, []
            for bound, count in zip(self._shown_bounds, buckets, strict=True):
                total += count
                shown.append((bound, total))
            family.add_metric(key, shown, self._sums[key])
        yield family
