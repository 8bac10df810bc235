"""Limiters on the Redis of the tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from services.gateway.limits.redis import RedisLimiter
from shared.breaker import Breaker
from tests.integration.gateway.limiters import Make, client
from tests.integration.gateway.valve import Valve, valve


@pytest.fixture
async def make(redis_url: str) -> AsyncIterator[Make]:
    """Makes limiters on the test's Redis, and closes them afterwards."""
    made: list[RedisLimiter] = []

    def one(url: str = redis_url, timeout: float = 2.0, pause: float = 1.0) -> RedisLimiter:
        limiter = RedisLimiter(client(url), timeout=timeout, breaker=Breaker(pause=pause))
        made.append(limiter)
        return limiter

    yield one
    for limiter in made:
        await limiter.close()


@pytest.fixture
async def relay(redis_url: str) -> AsyncIterator[tuple[str, Valve]]:
    """A way to Redis that can be shut."""
    async with valve(redis_url) as between:
        yield between
