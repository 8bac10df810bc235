"""Plain counters and histograms show what those of the library show."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from shared.tally import MOST_COUNTS, MOST_DURATIONS, Durations, Tally

BOUNDS = (0.001, 0.1, 1.0, 10.0)
LABELS = ("method", "route")
KEYS = st.tuples(st.sampled_from(["GET", "PUT"]), st.sampled_from(["/a", 'odd "\\\n{}', ""]))
# Sums of these are exact, whatever the order.
SECONDS = st.integers(0, 2**20).map(lambda ticks: ticks / 2**10) | st.sampled_from(BOUNDS)

Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def exported(registry: CollectorRegistry) -> Series:
    """Every series of a scrape with its value; the library's times of creation are left out."""
    text = generate_latest(registry).decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


@given(st.lists(st.tuples(KEYS, SECONDS), max_size=30))
def test_durations_are_a_histogram(observed: list[tuple[tuple[str, str], float]]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    durations = Durations("d_seconds", "Time", LABELS, bounds=BOUNDS, registry=ours)
    histogram = Histogram("d_seconds", "Time", LABELS, buckets=BOUNDS, registry=theirs)
    for key, seconds in observed:
        durations.observe(key, seconds)
        histogram.labels(*key).observe(seconds)
    assert exported(ours) == exported(theirs)


@given(st.lists(st.tuples(KEYS, st.integers(0, 5)), max_size=30))
def test_a_tally_is_a_counter(counted: list[tuple[tuple[str, str], int]]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    tally = Tally("requests_total", "Requests", LABELS, registry=ours)
    counter = Counter("requests_total", "Requests", LABELS, registry=theirs)
    for key, amount in counted:
        tally.add(key, amount)
        counter.labels(*key).inc(amount)
    assert exported(ours) == exported(theirs)


def test_what_exceeds_the_cap_counts_as_other() -> None:
    registry = CollectorRegistry()
    tally = Tally("requests_total", "Requests", LABELS, registry=registry)
    durations = Durations("d_seconds", "Time", LABELS, bounds=BOUNDS, registry=registry)
    for number in range(5_000):
        tally.add(("GET", f"/{number}"))
        durations.observe(("GET", f"/{number}"), 1.0)
    # Those known before go on by their own names.
    tally.add(("GET", "/7"))
    shown = exported(registry)
    counts = {labels: value for (name, labels), value in shown.items() if "requests" in name}
    sums = {labels: value for (name, labels), value in shown.items() if name == "d_seconds_count"}
    rest = (("method", "other"), ("route", "other"))
    assert (len(counts), len(sums)) == (MOST_COUNTS + 1, MOST_DURATIONS + 1)
    assert sum(counts.values()) == 5_001
    assert counts[rest] == 5_000 - MOST_COUNTS
    assert counts[("method", "GET"), ("route", "/7")] == 2
    assert sums[rest] == 5_000 - MOST_DURATIONS
