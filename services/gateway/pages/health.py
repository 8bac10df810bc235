"""GET /health on the public port: whether each service answers, and nothing internal."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from services.gateway.config import Upstream
from services.gateway.exchange import Answer, Exchange
from services.gateway.pages.page import json_answer
from services.gateway.pages.sources import SourceFailed, Sources
from services.gateway.rules import Rules

PROBE_PATH = "/health/live"
PROBE_TIMEOUT_SECONDS = 1.0
KEPT_SECONDS = 1.0


class HealthPage:
    """Asks every upstream at most once a second, however many ask the gateway."""

    def __init__(self, sources: Sources, *, now: Callable[[], float] = time.monotonic) -> None:
        self._sources = sources
        self._now = now
        self._asking: asyncio.Task[dict[str, Any]] | None = None
        self._asked_at = 0.0

    async def __call__(self, _exchange: Exchange, rules: Rules) -> Answer:
        now = self._now()
        if self._asking is None or (self._asking.done() and now - self._asked_at >= KEPT_SECONDS):
            self._asked_at = now
            self._asking = asyncio.create_task(self._ask(rules.config.upstreams))
        # A client that leaves must not cancel the probe for the others.
        report = await asyncio.shield(self._asking)
        return json_answer(report, status=503 if report["status"] == "unhealthy" else 200)

    async def _ask(self, upstreams: dict[str, Upstream]) -> dict[str, Any]:
        answers = await asyncio.gather(*map(self._probe, upstreams.values()))
        services = {
            name: "healthy" if answered else "unhealthy"
            for name, answered in zip(upstreams, answers, strict=True)
        }
        status = "unhealthy"
        if any(answers):
            status = "healthy" if all(answers) else "degraded"
        return {"status": status, "services": services}

    async def _probe(self, upstream: Upstream) -> bool:
        """Whether the service gives any HTTP answer; an operator's own may have no such path."""
        try:
            await self._sources.get(upstream, PROBE_PATH, PROBE_TIMEOUT_SECONDS)
        except SourceFailed:
            return False
        return True
