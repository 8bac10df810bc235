"""Collectors: bounded labels, seconds, and the lag of the loop."""

from __future__ import annotations

import asyncio
import time

from prometheus_client.exposition import generate_latest

from shared.metrics import HttpMetrics, LoopLag, new_registry
from shared.process import background
from shared.version import VERSION


def test_a_method_of_no_standard_opens_no_series() -> None:
    registry = new_registry("sample")
    metrics = HttpMetrics(registry)
    for at in range(50):
        metrics.observe(f"HACK{at}", "/v1/tasks", 405, 0.01)
    metrics.observe("GET", "/v1/tasks", 200, 0.3)
    text = generate_latest(registry).decode()
    assert "HACK" not in text
    assert 'http_requests_total{method="OTHER",route="/v1/tasks",status="405"} 50.0' in text
    buckets = {
        bound: registry.get_sample_value(
            "http_request_duration_seconds_bucket",
            {"method": "GET", "route": "/v1/tasks", "le": bound},
        )
        for bound in ("0.25", "0.5", "+Inf")
    }
    assert buckets == {"0.25": 0, "0.5": 1, "+Inf": 1}


def test_a_registry_says_which_build_it_is() -> None:
    text = generate_latest(new_registry("sample")).decode()
    assert f'tasklane_build_info{{service="sample",version="{VERSION}"}} 1.0' in text
    assert "process_cpu_seconds_total" in text


async def test_a_blocking_call_shows_as_lag() -> None:
    registry = new_registry("sample")
    async with background(LoopLag(registry, interval_seconds=0.01).watch):
        await asyncio.sleep(0.03)
        time.sleep(0.1)  # noqa: ASYNC251 - what the gauge is there to show
        await asyncio.sleep(0.03)
    slow = registry.get_sample_value("event_loop_lag_seconds_bucket", {"le": "0.05"})
    every = registry.get_sample_value("event_loop_lag_seconds_count")
    assert slow is not None
    assert every is not None
    assert every > slow
