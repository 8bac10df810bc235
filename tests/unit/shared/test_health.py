"""Health: failing, hanging and lying checks first."""

from __future__ import annotations

import asyncio

import pytest

from shared import health
from shared.health import Health
from shared.version import VERSION


async def fine() -> None:
    return None


async def broken() -> None:
    raise ConnectionError("password=hunter2 host=10.0.0.1")


async def hanging() -> None:
    await asyncio.Event().wait()


@pytest.fixture(autouse=True)
def _short_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "CHECK_TIMEOUT_SECONDS", 0.05)


@pytest.mark.parametrize(
    ("state", "ready", "status"),
    [
        (Health(critical={"db": broken}), False, "unhealthy"),
        (Health(critical={"db": hanging}), False, "unhealthy"),
        (Health(critical={"db": fine, "key": broken}), False, "unhealthy"),
        (Health(critical={"db": broken}, draining=True), False, "unhealthy"),
        (Health(critical={"db": fine}, optional={"redis": broken}), True, "degraded"),
        (Health(critical={"db": fine}, optional={"redis": hanging}), True, "degraded"),
        (Health(critical={"db": fine}, draining=True), False, "degraded"),
        (Health(critical={"db": fine}, optional={"redis": fine}), True, "healthy"),
        (Health(), True, "healthy"),
    ],
)
async def test_verdicts(state: Health, ready: bool, status: str) -> None:
    assert await state.ready() is ready
    assert (await state.report())["status"] == status


async def test_a_scrape_waits_less_for_what_hangs_than_a_report(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Figures are asked for most when something hangs."""
    monkeypatch.setattr(health, "CHECK_TIMEOUT_SECONDS", 60.0)
    monkeypatch.setattr(health, "VERDICT_TIMEOUT_SECONDS", 0.05)
    state = Health(critical={"db": fine}, optional={"tasks": hanging})
    async with asyncio.timeout(30):
        assert await state.verdicts() == {"db": True, "tasks": False}


async def test_the_report_says_what_fails_and_no_driver_text() -> None:
    state = Health(critical={"db": broken}, optional={"redis": hanging, "auth": fine})
    body = await state.report()
    assert body["version"] == VERSION
    assert body["uptime_seconds"] >= 0
    assert body["issues"] == ["db: ConnectionError", "redis: timed out"]
    assert set(body["checks"]) == {"db", "redis", "auth"}
    assert body["checks"]["db"]["status"] == "unhealthy"
    assert body["checks"]["auth"]["status"] == "healthy"
    assert "error" not in body["checks"]["auth"]
    assert all(check["response_time_ms"] >= 0 for check in body["checks"].values())
    assert "hunter2" not in str(body)


async def test_a_process_that_does_not_listen_yet_is_not_ready() -> None:
    health = Health(listening=False)
    assert not await health.ready()
    health.listening = True
    assert await health.ready()


async def test_what_is_needed_first_is_needed_once() -> None:
    there = False

    async def keys() -> None:
        if not there:
            raise ConnectionError

    health = Health(optional={"keys": keys}, first={"keys": keys})
    assert not await health.ready()
    assert not await health.accepting()
    there = True
    assert await health.ready()
    assert await health.accepting()
    there = False
    assert await health.ready()
    assert await health.accepting()


async def test_who_has_been_ready_accepts_until_the_end() -> None:
    fails = True

    async def check() -> None:
        if fails:
            raise ConnectionError

    health = Health(critical={"keys": check})
    assert not await health.accepting()
    fails = False
    assert await health.accepting()
    fails = True
    assert not await health.ready()
    assert await health.accepting()
    health.draining = True
    assert not await health.accepting()
