"""Counters and histograms for the hot path: plain numbers that Prometheus reads when it scrapes.

prometheus_client locks and checks on every observation, which costs more than what is counted. A
process has one event loop, so a dictionary will do. Label values come from bounded sets; should one
of them not be as bounded as it was meant to be, what exceeds the cap counts as `other`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

Key = tuple[str, ...]

# A histogram has as many series as bounds for each set of values, so it gets fewer.
MOST_COUNTS = 2_000
MOST_DURATIONS = 500
OTHER = "other"


class Cell:
    """The count of one set of label values, for who counts the same again and again."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


class Series:
    """The durations of one set of label values."""

    __slots__ = ("_bounds", "buckets", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self.buckets = [0] * (len(bounds) + 1)
        self.total = 0.0  # seconds

    def observe(self, seconds: float) -> None:
        """Books one duration."""
        self.buckets[bisect_left(self._bounds, seconds)] += 1
        self.total += seconds


class Tally(Collector):
    """A counter by labels. The values of the labels must come from bounded sets."""

    def __init__(
        self, name: str, help_text: str, labels: Sequence[str], *, registry: CollectorRegistry
    ) -> None:
        self._name = name
        self._help = help_text
        self._labels = tuple(labels)
        self._cells: dict[Key, Cell] = {}
        registry.register(self)

    def add(self, key: Key, amount: int = 1) -> None:
        """Counts `amount` more for the label values `key`."""
        cell = self._cells.get(key) or self.cell(key)
        cell.count += amount

    def cell(self, key: Key) -> Cell:
        """Where the label values `key` are counted."""
        cell = self._cells.get(key)
        if cell is None:
            key = _within(key, self._cells, MOST_COUNTS)
            cell = self._cells.setdefault(key, Cell())
        return cell

    def describe(self) -> Iterable[Metric]:
        return [CounterMetricFamily(self._name, self._help, labels=self._labels)]

    def collect(self) -> Iterable[Metric]:
        family = CounterMetricFamily(self._name, self._help, labels=self._labels)
        for key, cell in list(self._cells.items()):
            family.add_metric(key, cell.count)
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
        self._series: dict[Key, Series] = {}
        registry.register(self)

    def observe(self, key: Key, seconds: float) -> None:
        """Books one duration for the label values `key`."""
        self.series(key).observe(seconds)

    def series(self, key: Key) -> Series:
        """Where the durations of the label values `key` are booked."""
        series = self._series.get(key)
        if series is None:
            key = _within(key, self._series, MOST_DURATIONS)
            series = self._series.setdefault(key, Series(self._bounds))
        return series

    def describe(self) -> Iterable[Metric]:
        return [HistogramMetricFamily(self._name, self._help, labels=self._labels)]

    def collect(self) -> Iterable[Metric]:
        family = HistogramMetricFamily(self._name, self._help, labels=self._labels)
        for key, series in list(self._series.items()):
            total, shown = 0, []
            for bound, count in zip(self._shown_bounds, series.buckets, strict=True):
                total += count
                shown.append((bound, total))
            family.add_metric(key, shown, series.total)
        yield family


def _within(key: Key, known: Mapping[Key, object], most: int) -> Key:
    """`key`, or the one that stands for all that there is no more room for."""
    return key if len(known) < most else (OTHER,) * len(key)
