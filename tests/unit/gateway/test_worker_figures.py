"""Metrics of several processes in one text."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from services.gateway.workers.exposition import merged


def exposition(count: int) -> bytes:
    """One of a process that has counted to `count`; a label has every character that is quoted."""
    registry = CollectorRegistry()
    Counter("asked", "With\na line", ("path",), registry=registry).labels('a b{"\\\n}').inc(count)
    Gauge("plain", "No label", registry=registry).set(count)
    Histogram("took_seconds", "By bucket", buckets=(1.0,), registry=registry).observe(count)
    return generate_latest(registry)


def samples(text: bytes) -> dict[tuple[str, str], float]:
    """By series name and worker; the parser refuses a family that comes twice."""
    families = list(text_string_to_metric_families(text.decode()))
    assert len({family.name for family in families}) == len(families)
    return {
        (sample.name, sample.labels["worker"]): sample.value
        for family in families
        for sample in family.samples
        if sample.labels.get("le") != "+Inf"
    }


def test_each_series_says_whose_it_is() -> None:
    found = samples(merged({"0": exposition(1), "1": exposition(2)}))
    assert found["asked_total", "0"] == 1
    assert found["asked_total", "1"] == 2
    assert found["plain", "0"] == 1
    assert found["took_seconds_sum", "1"] == 2
    assert found["took_seconds_bucket", "0"] == 1


def test_other_labels_and_heads_are_kept() -> None:
    text = merged({"0": exposition(1), "1": exposition(2)})
    (family,) = (
        one for one in text_string_to_metric_families(text.decode()) if one.name == "asked"
    )
    assert family.documentation == "With\na line"
    assert family.type == "counter"
    assert {sample.labels["path"] for sample in family.samples} == {'a b{"\\\n}'}
    assert text.count(b"# TYPE plain gauge\n") == 1


def test_a_family_that_only_one_process_has() -> None:
    alone = b"# HELP more h\n# TYPE more gauge\nmore 3.0\n"
    found = samples(merged({"0": exposition(1), "1": exposition(2) + alone}))
    assert found["more", "1"] == 3
    assert ("more", "0") not in found


def test_what_is_told_about_a_worker_is_not_about_the_teller() -> None:
    told = b'# HELP begun h\n# TYPE begun counter\nbegun_total{worker="1"} 4.0\n'
    assert samples(merged({"supervisor": told})) == {("begun_total", "1"): 4.0}


def test_no_process() -> None:
    assert samples(merged({"supervisor": b""})) == {}
