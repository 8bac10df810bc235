"""The limit stage: holds a request to its policies, whatever state Redis is in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Gauge

from services.gateway.exchange import Exchange
from services.gateway.limits.memory import MemoryLimiter
from services.gateway.limits.policies import (
    Applied,
    FailureMode,
    LimitPolicy,
    PolicyBook,
    listing,
    subjects,
)
from services.gateway.limits.quota import Quota, describe, lines
from services.gateway.limits.redis import LimiterUnavailable, RedisLimiter
from shared.errors import ApiError, InternalError, RateLimited, ServiceUnavailable
from shared.identity import Tier
from shared.tally import Cell, Tally

_APPLIED_REMEMBERED = 1_024


class LimiterMetrics:
    """Decisions by policy, and whether the shared counters are out of reach."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._decisions = Tally(
            "limiter_decisions_total",
            "Decisions of rate limit policies",
            ("policy", "decision"),
            registry=registry,
        )
        self._admitted: dict[Applied, tuple[Cell, ...]] = {}
        self.degraded = Gauge(
            "limiter_degraded", "1 while Redis does not answer the limiter", registry=registry
        )
        self.without_redis = Tally(
            "limiter_requests_without_redis_total",
            "Requests that were judged while Redis did not answer",
            ("mode",),
            registry=registry,
        )
        # From 0 on, or the first of them would be no increase.
        for mode in ("local", "open", "closed"):
            self.without_redis.cell((mode,))

    def admitted(self, applied: Applied) -> tuple[Cell, ...]:
        """Where it is counted that all policies of `applied` have admitted a request."""
        cells = self._admitted.get(applied)
        if cells is None:
            if len(self._admitted) >= _APPLIED_REMEMBERED:
                # Reloads make new ones.
                self._admitted.clear()
            for policy in applied.policies:
                # From 0 on, or the first refusal would be no increase.
                self._decisions.cell(_decision(policy, refused=True))
            keys = [_decision(policy, refused=False) for policy in applied.policies]
            cells = self._admitted[applied] = tuple(map(self._decisions.cell, keys))
        return cells

    def count(self, quota: Quota) -> None:
        """Books what every policy said."""
        for standing in quota.standings:
            self._decisions.add(_decision(standing.policy, refused=standing.retry_after > 0))


def _decision(policy: LimitPolicy, *, refused: bool) -> tuple[str, str]:
    decision = "refused" if refused else "admitted"
    return policy.name, f"shadow_{decision}" if policy.shadow else decision


class Charge:
    """To whom a request is charged: its policies, and for each of them whom it counts.

    It holds for every request of the same caller to the same place.
    """

    __slots__ = ("admitted", "applied", "subjects")

    def __init__(
        self, applied: Applied, subjects: tuple[str, ...], admitted: tuple[Cell, ...]
    ) -> None:
        self.applied = applied
        self.subjects = subjects
        self.admitted = admitted  # where a request is counted that all policies admit


class LimitStage:
    """Spends a request's cost and puts its header lines on the exchange, or refuses."""

    def __init__(
        self, memory: MemoryLimiter, redis: RedisLimiter | None, metrics: LimiterMetrics
    ) -> None:
        self._memory = memory
        self._redis = redis
        self._metrics = metrics
        # Whether the counters are out of this process, so that `spend` may have to wait.
        self.waits = redis is not None
        self._degraded = False
        self._parts: dict[Applied, Applied] = {}

    def configure(self, redis_timeout: float) -> None:
        """Takes over what a reload may change; seconds."""
        if self._redis is not None:
            self._redis.timeout = redis_timeout

    def charge(
        self,
        exchange: Exchange,
        book: PolicyBook,
        client_key: str,
        known: Charge | None = None,
    ) -> Charge | None:
        """To whom the request is charged; None where no policy applies.

        `client_key` is the client's address as policies count it. `known` is what another request
        of the same caller was charged to.
        """
        principal = exchange.principal
        tier = Tier.ANONYMOUS if principal is None else principal.tier
        applied = book.applying(tier, exchange.method, exchange.service_path)
        if not applied.policies:
            return None
        if known is not None and known.applied is applied:
            return known
        counted = subjects(applied, principal, client_key)
        return Charge(applied, counted, self._metrics.admitted(applied))

    async def spend(self, exchange: Exchange, charge: Charge) -> None:
        """Raises RateLimited, or ServiceUnavailable for a policy that is closed without Redis."""
        if self._redis is None:
            self.spend_here(exchange, charge)
            return
        answer: asyncio.Future[ApiError | None] = asyncio.get_running_loop().create_future()

        def done(refusal: ApiError | None) -> None:
            if not answer.done():
                answer.set_result(refusal)

        self.spend_soon(exchange, charge, done)
        refusal = await answer
        if refusal is not None:
            raise refusal

    def spend_here(self, exchange: Exchange, charge: Charge) -> None:
        """`spend` where it never waits. Raises RateLimited."""
        applied = charge.applied
        quota = self._memory.spend(applied, charge.subjects, applied.cost)
        self._settle(exchange, charge, quota)

    def spend_soon(
        self, exchange: Exchange, charge: Charge, done: Callable[[ApiError | None], None]
    ) -> None:
        """`spend` for who does not await: `done` is told the refusal, or None."""
        assert self._redis is not None
        applied = charge.applied

        def told(quota: Quota | None) -> None:
            refusal: ApiError | None = None
            try:
                self._note(reached=quota is not None)
                if quota is None:
                    quota = self._without_redis(applied, charge.subjects, applied.cost)
                self._settle(exchange, charge, quota)
            except ApiError as error:
                refusal = error
            except Exception as error:  # noqa: BLE001 - a fault of ours is a 500, whatever it is
                refusal = InternalError()
                refusal.__cause__ = error
            done(refusal)

        self._redis.ask(applied, charge.subjects, applied.cost, told)

    def _settle(self, exchange: Exchange, charge: Charge, quota: Quota) -> None:
        applied = quota.applied
        if quota.allowed and not applied.watched:
            exchange.lines += lines(quota.rows, applied.listed)
            for cell in charge.admitted:
                cell.count += 1
            return
        exchange.lines += lines(quota.enforced, applied.listed)
        self._metrics.count(quota)
        if not quota.allowed:
            raise _refusal(quota)

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
        self._metrics.count(quota)
        if not quota.allowed:
            exchange.lines += lines(quota.enforced, applied.listed)
            raise _refusal(quota)

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
        own = [one for one in quota.enforced if one.policy in applied.policies[:of_tier]]
        exchange.lines += lines(own, listing(one.policy for one in own))
        return quota

    async def _shared(self, applied: Applied, counted: tuple[str, ...], cost: int) -> Quota:
        assert self._redis is not None
        try:
            quota = await self._redis.spend(applied, counted, cost)
        except LimiterUnavailable:
            self._note(reached=False)
            return self._without_redis(applied, counted, cost)
        self._note(reached=True)
        return quota

    def _note(self, *, reached: bool) -> None:
        if reached is self._degraded:
            self._degraded = not reached
            self._metrics.degraded.set(self._degraded)

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
            if len(self._parts) >= _APPLIED_REMEMBERED:
                self._parts.clear()
            local = FailureMode.LOCAL
            policies = tuple(one for one in applied.policies if one.on_failure is local)
            part = self._parts[applied] = Applied(policies, applied.cost)
        return part


def _refusal(quota: Quota) -> RateLimited:
    violated = [describe(standing) for standing in quota.violated]
    return RateLimited(quota.retry_after_seconds, details={"policies": violated})
