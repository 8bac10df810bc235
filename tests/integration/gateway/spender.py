"""A gateway's limiter as a process of its own, whose clock may be wrong.

`python -m tests.integration.gateway.spender URL RATE TIMEOUT OFFSET SPEED` spends as fast as it
can. For every line on standard input it prints, as JSON, what was admitted since the line before.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import structlog
from prometheus_client import CollectorRegistry

from services.gateway.limits.memory import MemoryLimiter
from services.gateway.limits.policies import PolicyBook
from services.gateway.limits.redis import RedisLimiter
from services.gateway.limits.stage import LimiterMetrics, LimitStage
from shared.breaker import Breaker
from shared.errors import RateLimited
from shared.identity import Tier
from tests.integration.gateway.limiters import client
from tests.unit.gateway.exchanges import exchange
from tests.unit.gateway.policies import policy

AT_ONCE = 8


def set_clocks(offset: float, speed: float) -> None:
    """Moves every wall clock of this process by `offset` seconds, and lets it run at `speed`."""
    wall, began = time.time, time.time()

    def wrong() -> float:
        return began + offset + (wall() - began) * speed

    time.time = wrong
    time.time_ns = lambda: int(wrong() * 1e9)


class Spender:
    """Spends one client's quota in several tasks, and counts."""

    def __init__(self, stage: LimitStage, book: PolicyBook) -> None:
        self._stage = stage
        self._book = book
        self.counts = {"admitted": 0, "refused": 0}

    async def spend(self) -> None:
        """For ever."""
        while True:
            try:
                request = exchange()
                charge = self._stage.charge(request, self._book, "192.0.2.1")
                if charge is not None:
                    await self._stage.spend(request, charge)
            except RateLimited:
                self.counts["refused"] += 1
                await asyncio.sleep(0.002)
            else:
                self.counts["admitted"] += 1
                await asyncio.sleep(0)


async def main(url: str, rate: str, timeout: str, offset: str, speed: str) -> None:
    """Runs until standard input ends."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    set_clocks(float(offset), float(speed))
    limiter = RedisLimiter(client(url), timeout=float(timeout), breaker=Breaker(pause=0.1))
    registry = CollectorRegistry()
    stage = LimitStage(MemoryLimiter(), limiter, LimiterMetrics(registry))
    spender = Spender(stage, PolicyBook({Tier.ANONYMOUS: (policy(rate),)}, ()))
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    print("{}", flush=True)
    await reader.readline()
    tasks = [asyncio.create_task(spender.spend()) for _ in range(AT_ONCE)]
    while await reader.readline():
        counts, spender.counts = spender.counts, {"admitted": 0, "refused": 0}
        label = {"mode": "local"}
        found = registry.get_sample_value("limiter_requests_without_redis_total", label)
        print(json.dumps({**counts, "without_redis": found or 0}), flush=True)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await limiter.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
