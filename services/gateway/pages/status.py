"""GET /api/rate-limit-status: the caller's policies and what is left of each."""

from __future__ import annotations

from services.gateway.clients import Clients
from services.gateway.exchange import Answer, Exchange
from services.gateway.limits.quota import describe
from services.gateway.limits.stage import LimitStage
from services.gateway.pages.page import json_answer
from services.gateway.rules import Rules
from shared.identity import Tier


class RateLimitStatus:
    """Looks at the counters and spends nothing."""

    def __init__(self, limits: LimitStage, clients: Clients) -> None:
        self._limits = limits
        self._clients = clients

    async def __call__(self, exchange: Exchange, rules: Rules) -> Answer:
        quota = await self._limits.look(exchange, rules.policies, self._clients.key(exchange))
        principal = exchange.principal
        return json_answer(
            {
                "tier": Tier.ANONYMOUS if principal is None else principal.tier,
                "key": "address" if principal is None else "user",
                "policies": [describe(standing) for standing in quota.enforced],
                "shadow_policies": [describe(standing) for standing in quota.shadow],
            }
        )
