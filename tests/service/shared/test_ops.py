"""The ops port: what it says when dependencies fail, while draining, and to monitoring."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import ClientSession
from prometheus_client.parser import text_string_to_metric_families

from shared.health import Health
from shared.metrics import new_registry
from shared.ops import ops_listener
from shared.process import StartRefused
from shared.version import VERSION
from tests.ports import free_port
from tests.service.shared.conftest import error_of


async def fine() -> None:
    return None


async def broken() -> None:
    raise ConnectionError("password=hunter2")


@asynccontextmanager
async def ops(health: Health) -> AsyncIterator[ClientSession]:
    port = free_port()
    async with ops_listener("127.0.0.1", port, health, new_registry("sample")):
        async with ClientSession(f"http://127.0.0.1:{port}") as client:
            yield client


@pytest.mark.parametrize(
    ("health", "ready", "overall", "status"),
    [
        (Health(critical={"db": broken}), 503, 503, "unhealthy"),
        (Health(critical={"db": fine}, draining=True), 503, 200, "degraded"),
        (Health(critical={"db": fine}, optional={"redis": broken}), 200, 200, "degraded"),
        (Health(critical={"db": fine}), 200, 200, "healthy"),
    ],
)
async def test_what_it_says(health: Health, ready: int, overall: int, status: str) -> None:
    async with ops(health) as client:
        async with client.get("/health/live") as answer:
            assert answer.status == 200
        async with client.get("/health/ready") as answer:
            assert answer.status == ready
        async with client.get("/health") as answer:
            assert answer.status == overall
            body = await answer.json()
            assert set(body) == {"status", "version", "uptime_seconds", "checks", "issues"}
            assert (body["status"], body["version"]) == (status, VERSION)
            assert "hunter2" not in await answer.text()


async def test_metrics_are_prometheus_text() -> None:
    async with ops(Health()) as client, client.get("/metrics") as answer:
        assert answer.status == 200
        assert answer.content_type == "text/plain"
        families = {family.name for family in text_string_to_metric_families(await answer.text())}
    assert {"tasklane_build_info", "process_cpu_seconds", "event_loop_lag_seconds"} <= families


async def test_a_scrape_runs_every_check() -> None:
    health = Health(critical={"db": fine}, optional={"redis": broken})
    async with ops(health) as client:
        async with client.get("/metrics") as answer:
            text = await answer.text()
        assert 'health_check_passed{check="db"} 1.0' in text
        assert 'health_check_passed{check="redis"} 0.0' in text
        health.optional = {"redis": fine}
        async with client.get("/metrics") as answer:
            assert 'health_check_passed{check="redis"} 1.0' in await answer.text()


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "NOT_FOUND"),
        ("POST", "/metrics", 405, "METHOD_NOT_ALLOWED"),
        ("DELETE", "/health", 405, "METHOD_NOT_ALLOWED"),
    ],
)
async def test_its_errors_have_the_house_shape(
    method: str, path: str, status: int, code: str
) -> None:
    async with ops(Health()) as client, client.request(method, path) as answer:
        assert answer.status == status
        error = error_of(await answer.json(), code)
        assert answer.headers["X-Request-ID"] == error["request_id"]


async def test_a_port_that_is_taken_stops_the_start() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(StartRefused, match=f"127.0.0.1:{port} cannot be bound"):
            async with ops_listener("127.0.0.1", port, Health(), new_registry("sample")):
                pass


async def test_a_check_that_hangs_holds_up_no_other_request() -> None:
    hanging = asyncio.Event()

    async def hang() -> None:
        await hanging.wait()

    async with ops(Health(critical={"db": hang})) as client:
        report = asyncio.create_task(client.get("/health").__aenter__())
        async with client.get("/health/live") as answer:
            assert answer.status == 200
        assert not report.done()
        hanging.set()
        assert (await report).status == 200
