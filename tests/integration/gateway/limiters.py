"""What tests of the shared limiter have in common."""

from __future__ import annotations

from collections.abc import Callable

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from services.gateway.limits.redis import RedisLimiter

Make = Callable[..., RedisLimiter]


def client(url: str) -> Redis:
    """A client that tries once, as the gateway's does."""
    return Redis.from_url(url, retry=Retry(NoBackoff(), 0))
