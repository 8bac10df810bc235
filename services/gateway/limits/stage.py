"""The limit stage: holds a request to its policies, whatever state Redis is in."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Gauge

from services.gateway.exchange import Exchange
from services.gateway.limits.memory import MemoryLimiter
from services.gateway.limits.policies import Applied, FailureMode, PolicyBook, subjects
from services.gateway.limits.quota import Quota, Standing, describe, fields
from services.gateway.limits.redis import LimiterUnavailable, RedisLimiter
from shared.errors import RateLimited, ServiceUnavailable
from shared.identity import Tier
from shared.tally import Tally

_PARTS_REMEMBERED = 1_024


class LimiterMetrics:
    """Decisions by policy, and whether the shared counters are out of reach."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._decisions = Tally(
            "limiter_decisions_total",
            "Decisions of rate limit policies",
            ("policy", "decision"),
            registry=registry,
        )
        self.degraded = Gauge(
            "limiter_degraded", "1 while Redis does not answer the limiter", registry=registry
        )
        self.without_redis = Tally(
            "limiter_requests_without_redis_total",
            "Requests that were judged while Redis did not answer",
            ("mode",),
            registry=registry,
        )

    def count(self, standings: list[Standing]) -> None:
        """Books what every policy said."""
        for policy, _, _, retry_after in standings:
            decision = "refused" if retry_after else "admitted"
            if policy.shadow:
                decision = f"shadow_{decision}"
            self._decisions.add((policy.name, decision))


class LimitStage:
    """Spends a request's cost, puts the quota and its fields on the exchange, or refuses."""

    def __init__(
        self, memory: MemoryLimiter, redis: RedisLimiter | None, metrics: LimiterMetrics
    ) -> None:
        self._memory = memory
        self._redis = redis
        self._metrics = metrics
        self._parts: dict[Applied, Applied] = {}

    def configure(self, redis_timeout: float) -> None:
        """Takes over what a reload may change; seconds."""
        if self._redis is not None:
            self._redis.timeout = redis_timeout

    async def spend(self, exchange: Exchange, book: PolicyBook, client_key: str) -> None:
        """Raises RateLimited, or ServiceUnavailable for a policy that is closed without Redis.

        `client_key` is the client's address as policies count it.
        """
        principal = exchange.principal
        tier = Tier.ANONYMOUS if principal is None else principal.tier
        applied = book.applying(tier, exchange.method, exchange.service_path)
        if not applied.policies:
            return
        counted = subjects(applied, principal, client_key)
        if self._redis is None:
            quota = self._memory.spend(applied, counted, applied.cost)
        else:
            quota = await self._shared(applied, counted, applied.cost)
        exchange.quota = quota
        standings = quota.standings
        self._metrics.count(standings)
        exchange.answer_headers += fields(quota.enforced if applied.watched else standings)
        if not quota.allowed:
            raise RateLimited(
                quota.retry_after_seconds,
                details={"policies": [describe(standing) for standing in quota.violated]},
            )

    async def refused(self, exchange: Exchange, book: PolicyBook, client_key: str) -> None:
        """Counts a request whose credential is bad, or missing, against its address alone.

        Whoever has a good one is not held up by others of his address. Raises as `spend` does.
        """
        applied = book.refusals
        if not applied.policies:
            return
        counted = subjects(applied, None, client_key)
        if self._redis is None:
            quota = self._memory.spend(applied, counted, applied.cost)
        else:
            quota = await self._shared(applied, counted, applied.cost)
        self._metrics.count(quota.standings)
        if not quota.allowed:
            exchange.quota = quota
            exchange.answer_headers += fields(quota.enforced)
            raise RateLimited(
                quota.retry_after_seconds,
                details={"policies": [describe(standing) for standing in quota.violated]},
            )

    async def look(self, exchange: Exchange, book: PolicyBook, client_key: str) -> Quota:
        """All the caller's policies, those of single routes too; spends nothing.

        The answer's fields tell of the tier's policies only, as on any other answer.
        """
        principal = exchange.principal
        tier = Tier.ANONYMOUS if principal is None else principal.tier
        applied, of_tier = book.everything(tier)
        counted = subjects(applied, principal, client_key)
        if self._redis is None:
            quota = self._memory.spend(applied, counted, 0)
        else:
            quota = await self._shared(applied, counted, 0)
        own = applied.policies[:of_tier]
        exchange.quota = quota
        exchange.answer_headers += fields(
            [standing for standing in quota.enforced if standing.policy in own]
        )
        return quota

    async def _shared(self, applied: Applied, counted: tuple[str, ...], cost: int) -> Quota:
        assert self._redis is not None
        try:
            quota = await self._redis.spend(applied, counted, cost)
        except LimiterUnavailable:
            self._metrics.degraded.set(1)
            return self._without_redis(applied, counted, cost)
        self._metrics.degraded.set(0)
        return quota

    def _without_redis(self, applied: Applied, counted: tuple[str, ...], cost: int) -> Quota:
        """Each policy's own answer to an outage; counters of this process stand in."""
        modes = {policy.on_failure for policy in applied.policies}
        if FailureMode.CLOSED in modes and cost:
            self._metrics.without_redis.add(("closed",))
            raise ServiceUnavailable("Requests cannot be counted right now")
        local = [
            subject
            for policy, subject in zip(applied.policies, counted, strict=True)
            if policy.on_failure is FailureMode.LOCAL
        ]
        self._metrics.without_redis.add(("local" if local else "open",))
        part = applied if len(local) == len(counted) else self._part(applied)
        return self._memory.spend(part, tuple(local), cost)

    def _part(self, applied: Applied) -> Applied:
        """The policies of `applied` that count locally in an outage."""
        part = self._parts.get(applied)
        if part is None:
            if len(self._parts) >= _PARTS_REMEMBERED:
                self._parts.clear()
            local = FailureMode.LOCAL
            policies = tuple(one for one in applied.policies if one.on_failure is local)
            part = self._parts[applied] = Applied(policies, applied.cost)
        return part
