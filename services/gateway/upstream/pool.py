"""One service as the gateway sees it: its endpoints, and which of them is next."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from random import random
from typing import TYPE_CHECKING

from services.gateway.outgoing import Outgoing
from services.gateway.upstream.breaker import Breaker
from services.gateway.upstream.checks import Checker, CheckSettings
from services.gateway.upstream.endpoint import Endpoint
from services.gateway.upstream.health import HealthSettings
from services.gateway.upstream.retry import RetryBudget

if TYPE_CHECKING:
    from services.gateway.upstream.call import Call


@dataclass(frozen=True, slots=True)
class UpstreamSettings:
    """What an operator says of a service. Seconds and counts.

    `idle_seconds` must be less than the service's own keep-alive time, or connections die under
    the requests that reuse them.
    """

    endpoints: tuple[str, ...]
    max_connections: int = 1024  # per endpoint
    idle_seconds: float = 30.0
    health: HealthSettings = field(default_factory=HealthSettings)
    check: CheckSettings | None = None  # without it, only requests tell how an endpoint is
    breaker_threshold: int = 10  # failures in a row; 0 is no breaker
    breaker_seconds: float = 1.0
    retry_share: float = 0.2
    retry_minimum: int = 3


class Upstream:
    """Chooses endpoints by the power of two choices, and keeps account of what is under way."""

    def __init__(self, name: str, settings: UpstreamSettings, outgoing: Outgoing) -> None:
        """Raises ValueError for settings that name no endpoint, or one that is none."""
        if not settings.endpoints:
            raise ValueError(f"upstream {name} has no endpoints")
        self.name = name
        self.settings = settings
        self.endpoints = [
            Endpoint(
                url,
                max_connections=settings.max_connections,
                idle_seconds=settings.idle_seconds,
                health=settings.health,
                outgoing=outgoing,
            )
            for url in settings.endpoints
        ]
        self._checkers = [
            Checker(endpoint, settings.check) for endpoint in self.endpoints if settings.check
        ]
        self.breaker = Breaker(settings.breaker_threshold, settings.breaker_seconds)
        self.budget = RetryBudget(settings.retry_share, settings.retry_minimum)
        self.now = asyncio.get_running_loop().time
        self.calls: set[Call] = set()  # under way; each enters and leaves by itself

    def pick(self, tried: list[Endpoint], now: float) -> Endpoint:
        """The endpoint for the next attempt: not one of `tried` if there is another."""
        endpoints = self.endpoints
        if len(endpoints) == 1:
            return endpoints[0]
        able = [endpoint for endpoint in endpoints if not endpoint.health.is_ejected(now)]
        if len(able) < len(endpoints) * self.settings.health.panic_below:
            # Too many are out: what takes them out is probably not theirs, and the few that are
            # left would drown.
            able = endpoints
        fresh = [endpoint for endpoint in able if endpoint not in tried]
        if not fresh:
            fresh = [endpoint for endpoint in endpoints if endpoint not in tried] or able
        # One that comes back takes part in as many draws as its weight says.
        fresh = [e for e in fresh if e.health.clean or random() < e.health.weight(now)] or fresh
        if len(fresh) == 1:
            return fresh[0]
        first = int(random() * len(fresh))
        second = int(random() * (len(fresh) - 1))
        one, other = fresh[first], fresh[second + (second >= first)]
        return one if one.active <= other.active else other

    def has_other(self, tried: list[Endpoint]) -> bool:
        """Whether there is an endpoint that is not one of `tried`."""
        return any(endpoint not in tried for endpoint in self.endpoints)

    def has_better(self, tried: list[Endpoint]) -> bool:
        """Whether an endpoint that is not one of `tried` is doing well, as far as is known."""
        now = self.now()
        return any(one not in tried and not one.health.is_ejected(now) for one in self.endpoints)

    def succeeded(self, endpoint: Endpoint) -> None:
        """`endpoint` has begun to answer."""
        if self.breaker.failures:
            self.breaker.succeeded()
        if not endpoint.health.clean:
            endpoint.health.succeeded(self.now())

    def failed(self, endpoint: Endpoint | None) -> None:
        """`endpoint` gave no usable answer."""
        now = self.now()
        if endpoint is not None:
            endpoint.health.failed(now)
        # One that dies fails all that it had under way; that says nothing about the others.
        if all(one.health.is_failing for one in self.endpoints):
            self.breaker.failed(now)

    def answered_in_vain(self, endpoint: Endpoint | None) -> None:
        """`endpoint` is there, but has answered that it cannot: requests had better go elsewhere.

        Each endpoint by itself, so the breaker, which is for all of them, takes it for an answer.
        """
        if self.breaker.failures:
            self.breaker.succeeded()
        if endpoint is not None:
            endpoint.health.failed(self.now())

    def sweep(self, now: float) -> None:
        """Ends what is overdue. To be called every fraction of a second."""
        for call in [call for call in self.calls if call.deadline < now]:
            call.expire()
        for endpoint in self.endpoints:
            endpoint.sweep(now)
        for checker in self._checkers:
            checker.sweep(now)

    def cancel_all(self) -> None:
        """Breaks off every call, without telling its receiver."""
        for call in list(self.calls):
            call.cancel()

    def close(self) -> None:
        """Takes no connection back any more; calls under way end as they would."""
        for checker in self._checkers:
            checker.stop()
        self._checkers.clear()
        for endpoint in self.endpoints:
            endpoint.close()
