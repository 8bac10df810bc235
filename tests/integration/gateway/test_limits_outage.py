"""What becomes of limits while Redis is gone, frozen or unfit, and when it is back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest
from prometheus_client import CollectorRegistry

from services.gateway.limits.memory import MemoryLimiter
from services.gateway.limits.policies import FailureMode, PolicyBook
from services.gateway.limits.redis import LimiterUnavailable, RedisLimiter
from services.gateway.limits.stage import LimiterMetrics, LimitStage
from shared.errors import RateLimited, ServiceUnavailable
from shared.identity import Tier
from tests.integration.gateway.limiters import Make
from tests.integration.gateway.valve import Valve
from tests.ports import free_port
from tests.unit.gateway.exchanges import exchange
from tests.unit.gateway.policies import applied, policy


def stage_of(limiter: RedisLimiter) -> tuple[LimitStage, CollectorRegistry]:
    registry = CollectorRegistry()
    return LimitStage(MemoryLimiter(), limiter, LimiterMetrics(registry)), registry


def book(mode: FailureMode, rate: str = "3/hour") -> PolicyBook:
    return PolicyBook({Tier.ANONYMOUS: (policy(rate, on_failure=mode),)}, ())


async def spend(stage: LimitStage, rules: PolicyBook) -> str:
    request = exchange()
    try:
        charge = stage.charge(request, rules, "192.0.2.1")
        assert charge is not None
        await stage.spend(request, charge)
    except RateLimited:
        return "refused"
    except ServiceUnavailable as error:
        return "unavailable" if "Retry-After" in error.headers else "bare"
    return "admitted"


@pytest.mark.parametrize(
    ("mode", "outcomes"),
    [
        (FailureMode.LOCAL, ["admitted"] * 3 + ["refused"] * 2),
        (FailureMode.OPEN, ["admitted"] * 5),
        (FailureMode.CLOSED, ["unavailable"] * 5),
    ],
)
async def test_modes_while_redis_is_gone(
    make: Make, mode: FailureMode, outcomes: list[str]
) -> None:
    stage, registry = stage_of(make(f"redis://127.0.0.1:{free_port()}/0"))
    assert [await spend(stage, book(mode)) for _ in range(5)] == outcomes
    assert registry.get_sample_value("limiter_degraded") == 1
    label = {"mode": mode.value}
    assert registry.get_sample_value("limiter_requests_without_redis_total", label) == 5


async def test_a_frozen_redis_is_waited_for_once(make: Make, relay: tuple[str, Valve]) -> None:
    url, between = relay
    limiter = make(url, timeout=0.1, pause=60.0)
    stage, _ = stage_of(limiter)
    rules = book(FailureMode.LOCAL)
    assert await spend(stage, rules) == "admitted"
    between.freeze()
    waits: list[Awaitable[str]] = [spend(stage, rules) for _ in range(100)]
    assert set(await asyncio.gather(*waits)) == {"admitted", "refused"}
    assert not limiter.healthy
    # From here on nobody waits: without the breaker this would take ten seconds and more.
    async with asyncio.timeout(5):
        for _ in range(100):
            assert await spend(stage, rules) == "refused"
    with pytest.raises(LimiterUnavailable):
        await limiter.spend(applied(policy("3/hour")), ("u:1",), 1)


async def test_redis_that_comes_back_counts_again(make: Make, relay: tuple[str, Valve]) -> None:
    url, between = relay
    limiter = make(url, timeout=0.2, pause=0.05)
    stage, registry = stage_of(limiter)
    rules = book(FailureMode.OPEN, "2/hour")
    assert await spend(stage, rules) == "admitted"
    between.freeze()
    assert [await spend(stage, rules) for _ in range(3)] == ["admitted"] * 3
    between.thaw()
    for _ in range(200):
        if limiter.healthy:
            break
        await asyncio.sleep(0.02)
        await spend(stage, rules)
    assert limiter.healthy
    assert registry.get_sample_value("limiter_degraded") == 0
    assert await spend(stage, rules) == "refused"


@pytest.mark.parametrize(
    "says",
    [
        b"-OOM command not allowed when used memory > 'maxmemory'.\r\n",
        b"-READONLY You can't write against a read only replica.\r\n",
        b"-NOAUTH Authentication required.\r\n",
        b"+OK\r\n",
        b"*1\r\n$4\r\njunk\r\n",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ],
)
async def test_a_redis_that_gives_no_verdict_is_an_outage(
    make: Make, relay: tuple[str, Valve], says: bytes
) -> None:
    url, between = relay
    between.says = says
    stage, registry = stage_of(make(url))
    assert await spend(stage, book(FailureMode.LOCAL)) == "admitted"
    assert registry.get_sample_value("limiter_degraded") == 1
