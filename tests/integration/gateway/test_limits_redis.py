"""The shared limiter on a real Redis: exact under concurrency, the same as in memory."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from services.gateway.limits import redis as shared_limits
from services.gateway.limits.memory import MemoryLimiter
from services.gateway.limits.redis import LimiterUnavailable
from tests.integration.gateway.limiters import Make, client
from tests.unit.gateway.policies import applied, policy


async def test_refuses_what_exceeds_the_burst(make: Make) -> None:
    limiter = make()
    request = applied(policy("3/hour"))
    quotas = [await limiter.spend(request, ("u:1",), 1) for _ in range(5)]
    assert [quota.allowed for quota in quotas] == [True, True, True, False, False]
    assert [quota.enforced[0].remaining for quota in quotas] == [2, 1, 0, 0, 0]
    assert 1100 <= quotas[-1].retry_after_seconds <= 1200


async def test_a_refusal_consumes_nothing_of_any_policy(make: Make) -> None:
    limiter = make()
    both = applied(policy("100/day", "day"), policy("1/hour", "hour"))
    assert (await limiter.spend(both, ("u:1", "u:1"), 1)).allowed
    for _ in range(20):
        quota = await limiter.spend(both, ("u:1", "u:1"), 1)
        assert [standing.remaining for standing in quota.enforced] == [99, 0]


async def test_a_shadow_policy_reports_and_refuses_nothing(make: Make) -> None:
    limiter = make()
    request = applied(policy("9/hour", "real"), policy("1/hour", "shadow", shadow=True))
    quotas = [await limiter.spend(request, ("u:1", "u:1"), 1) for _ in range(3)]
    assert all(quota.allowed for quota in quotas)
    assert [quota.shadow[0].retry_after > 0 for quota in quotas] == [False, True, True]


async def test_a_look_costs_nothing(make: Make, redis_url: str) -> None:
    limiter = make()
    request = applied(policy("1/hour"))
    assert (await limiter.spend(request, ("u:1",), 0)).enforced[0].remaining == 1
    redis = client(redis_url)
    assert await redis.keys("*") == []
    await redis.aclose()


async def test_counters_live_until_they_owe_nothing(make: Make, redis_url: str) -> None:
    limiter = make()
    for _ in range(3):
        await limiter.spend(applied(policy("6/minute")), ("u:1",), 1)
    redis = client(redis_url)
    (key,) = await redis.keys("*")
    assert key == b"{rl}:p:6/60:u:1"
    # Three of six are owed, which takes half a minute to earn back.
    assert 29_000 < await redis.pttl(key) <= 30_000
    await redis.aclose()


async def test_a_clock_set_back_gives_nothing_away_and_locks_nobody_out_for_as_long(
    make: Make, redis_url: str
) -> None:
    """A counter of tomorrow is what Redis has after its clock was set back by a day."""
    limiter, redis = make(), client(redis_url)
    request = applied(policy("6/minute"))
    seconds, microseconds = await redis.time()
    tomorrow = (seconds + 86_400) * 1_000_000 + microseconds
    await redis.set("{rl}:p:6/60:u:1", tomorrow, px=86_400_000)
    quota = await limiter.spend(request, ("u:1",), 1)
    assert not quota.allowed
    assert quota.retry_after_seconds <= 10
    # It owes its burst and no more, and goes when that is earned back.
    assert 50_000 < await redis.pttl("{rl}:p:6/60:u:1") <= 60_000
    assert int(await redis.get("{rl}:p:6/60:u:1") or 0) < (seconds + 120) * 1_000_000
    await redis.aclose()


async def test_nobody_gets_more_however_many_ask_at_once(make: Make) -> None:
    gateways = [make() for _ in range(4)]
    request = applied(policy("50/day", "day"), policy("40/hour", "hour"))
    quotas = await asyncio.gather(
        *(gateways[number % 4].spend(request, ("u:1", "u:1"), 1) for number in range(400))
    )
    assert sum(quota.allowed for quota in quotas) == 40
    left = await gateways[0].spend(request, ("u:1", "u:1"), 0)
    assert [standing.remaining for standing in left.enforced] == [10, 0]


async def test_the_checks_of_one_turn_travel_together(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    limiter = make()
    await limiter.spend(applied(policy("9/hour")), ("u:0",), 1)
    calls: list[int] = []
    real = limiter._command

    async def counting(name: str, script: str, keys: int, *rest: Any) -> Any:
        calls.append(keys)
        return await real(name, script, keys, *rest)

    monkeypatch.setattr(limiter, "_command", counting)
    request = applied(policy("9/hour", "a"), policy("9/hour", "b"))
    await asyncio.gather(
        *(limiter.spend(request, (f"u:{number}", f"u:{number}"), 1) for number in range(50))
    )
    assert calls == [100]


async def test_a_script_that_redis_forgot_is_sent_again(make: Make, redis_url: str) -> None:
    limiter = make(pause=0.001)
    request = applied(policy("2/hour"))
    assert (await limiter.spend(request, ("u:1",), 1)).allowed
    redis = client(redis_url)
    await redis.script_flush()
    await redis.aclose()
    try:
        quota = await limiter.spend(request, ("u:1",), 1)
    except LimiterUnavailable:
        # The Redis in Python hangs up after any error; the next call finds it again.
        await asyncio.sleep(0.05)
        quota = await limiter.spend(request, ("u:1",), 1)
    assert quota.allowed
    assert not (await limiter.spend(request, ("u:1",), 1)).allowed


async def test_agrees_with_the_limiter_in_memory(make: Make, redis_url: str) -> None:
    """Random requests over policies that do not refill while the test runs."""
    chance = random.Random(20260521)
    policies = [
        policy("7/day", "a"),
        policy("20/day", "b"),
        policy("5/day", "c", shadow=True),
        policy("9/day", "d"),
    ]
    memory, limiter = MemoryLimiter(), make()
    for _ in range(400):
        chosen = applied(*chance.sample(policies, chance.randint(1, 4)))
        subjects = tuple(chance.choice(("u:1", "u:2", "a:3")) for _ in chosen.policies)
        cost = chance.randint(0, 3)
        expected = memory.spend(chosen, subjects, cost)
        found = await limiter.spend(chosen, subjects, cost)
        assert found.allowed == expected.allowed
        for one, other in zip(
            (*found.enforced, *found.shadow), (*expected.enforced, *expected.shadow), strict=True
        ):
            assert (one.policy.name, one.remaining) == (other.policy.name, other.remaining)
            assert (one.retry_after > 0) == (other.retry_after > 0)


async def test_the_clock_is_that_of_redis(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gateways whose own clocks are years apart share one limit all the same."""
    request = applied(policy("4/hour"))
    one, other = make(), make()
    allowed = []
    for number in range(8):
        monkeypatch.setattr("time.time", lambda: 10_000.0 * number)  # noqa: B023
        monkeypatch.setattr("time.monotonic", lambda: 5_000.0 * (8 - number))  # noqa: B023
        allowed.append((await (one, other)[number % 2].spend(request, ("u:1",), 1)).allowed)
    monkeypatch.undo()
    assert allowed == [True] * 4 + [False] * 4


async def test_many_checks_travel_in_bounded_calls(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    limiter = make()
    sizes: list[int] = []
    real = limiter._evaluate

    async def counting(checks: list[Any]) -> list[Any]:
        sizes.append(len(checks))
        return await real(checks)

    monkeypatch.setattr(limiter, "_evaluate", counting)
    request = applied(policy("9/hour"))
    quotas = await asyncio.gather(
        *(limiter.spend(request, (f"u:{number}",), 1) for number in range(1000))
    )
    assert all(quota.allowed for quota in quotas)
    assert max(sizes) <= shared_limits.MAX_CHECKS_PER_CALL
    assert sum(sizes) == 1000
