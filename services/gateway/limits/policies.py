"""Rate limit policies, and which of them a request is held to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from services.gateway.limits.gcra import interval_of
from shared.identity import Principal, Tier

# The braces put every counter into one slot of a Redis Cluster, as one script has to touch several.
PREFIX = "{rl}:"
PERIODS = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400}

_POLICY = re.compile(r"([1-9][0-9]{0,8})/(second|minute|hour|day)")


class FailureMode(StrEnum):
    """What a policy does while Redis does not answer: count in this process, admit, or refuse."""

    LOCAL = "local"
    OPEN = "open"
    CLOSED = "closed"


class Key(StrEnum):
    """Whom a policy counts by. `CALLER` is the user, or the address of who has no identity."""

    CALLER = "user"
    ADDRESS = "address"


@dataclass(frozen=True, slots=True, eq=False)
class LimitPolicy:
    """`count` requests per `period` seconds: all at once if need be, then one every `interval_us`.

    A shadow policy is evaluated and reported but refuses nothing.
    """

    name: str
    count: int
    period: int
    interval_us: int
    key: Key = Key.CALLER
    shadow: bool = False
    on_failure: FailureMode = FailureMode.LOCAL

    # Derived once: what an emptied quota takes to be whole again, in microseconds; the name of the
    # counters, with the rate in it, so that a changed rate begins with fresh ones; and what the
    # policy puts into response fields.
    capacity_us: int = field(init=False)
    storage_name: str = field(init=False)
    redis_key: str = field(init=False)
    quoted: str = field(init=False)
    item: str = field(init=False)

    def __post_init__(self) -> None:
        quoted, storage_name = f'"{self.name}"', f"{self.name}:{self.count}/{self.period}"
        for name, value in {
            "capacity_us": self.count * self.interval_us,
            "storage_name": storage_name,
            "redis_key": f"{PREFIX}{storage_name}:",
            "quoted": quoted,
            "item": f"{quoted};q={self.count};w={self.period}",
        }.items():
            object.__setattr__(self, name, value)


@dataclass(frozen=True, slots=True)
class RouteRule:
    """Extra policies for requests that match, and what such a request costs in every policy.

    `method` is "*" for any; a `path` that ends in "/*" takes everything below it.
    """

    method: str
    path: str
    cost: int
    policies: tuple[LimitPolicy, ...]


TierRules = Mapping[Tier, tuple[LimitPolicy, ...]]


@dataclass(frozen=True, slots=True, eq=False)
class Applied:
    """The policies of one kind of request, and what it costs.

    `watched` says that there are shadow policies among them, `by_address` that there are some that
    count addresses. `listed` is the RateLimit-Policy line of those that are enforced,
    `numbers` what the limiter on Redis sends of all of them.
    """

    policies: tuple[LimitPolicy, ...]
    cost: int
    watched: bool = field(init=False)
    by_address: bool = field(init=False)
    listed: str = field(init=False)
    numbers: str = field(init=False)

    def __post_init__(self) -> None:
        by_address = any(policy.key is Key.ADDRESS for policy in self.policies)
        object.__setattr__(self, "watched", any(policy.shadow for policy in self.policies))
        object.__setattr__(self, "by_address", by_address)
        enforced = [policy for policy in self.policies if not policy.shadow]
        object.__setattr__(self, "listed", listing(enforced))
        triples = [f" {p.interval_us} {p.count} {int(p.shadow)}" for p in self.policies]
        object.__setattr__(self, "numbers", "".join(triples))


def listing(policies: Iterable[LimitPolicy]) -> str:
    """The RateLimit-Policy header line of `policies`, its line end included."""
    return f"ratelimit-policy: {', '.join([policy.item for policy in policies])}\r\n"


def parse_rate(text: str) -> tuple[int, int]:
    """`count/period` as (count, seconds). Raises ValueError saying what is wrong."""
    match = _POLICY.fullmatch(text)
    if match is None:
        raise ValueError("must be count/period, period one of second, minute, hour, day")
    return int(match[1]), PERIODS[match[2]]


def policies_of(
    name: str,
    rates: Iterable[str],
    *,
    key: Key = Key.CALLER,
    shadow: bool = False,
    on_failure: FailureMode = FailureMode.LOCAL,
) -> Iterator[LimitPolicy]:
    """One policy per rate, called `name`, with the period added where there are several."""
    rates = tuple(rates)
    for rate in rates:
        count, period = parse_rate(rate)
        yield LimitPolicy(
            name=name if len(rates) == 1 else f"{name}-{rate.partition('/')[2]}",
            count=count,
            period=period,
            interval_us=interval_of(count, period * 1_000_000),
            key=key,
            shadow=shadow,
            on_failure=on_failure,
        )


class PolicyBook:
    """All policies of a configuration, looked up by caller, method and path."""

    def __init__(
        self,
        tiers: TierRules,
        rules: Iterable[RouteRule],
        refusals: tuple[LimitPolicy, ...] = (),
    ) -> None:
        # What an address is held to that shows no good credential where one is needed.
        self.refusals = Applied(refusals, 1)
        self._tiers = {tier: Applied(tuple(tiers.get(tier, ())), 1) for tier in Tier}
        self._rules = tuple(rules)
        self._exact = {
            (rule.method, rule.path) for rule in self._rules if not rule.path.endswith("/*")
        }
        self._paths = frozenset(path for _, path in self._exact)
        self._below = tuple(
            rule.path.removesuffix("*") for rule in self._rules if rule.path.endswith("/*")
        )
        others = tuple(policy for rule in self._rules for policy in rule.policies)
        self._everything = {
            tier: Applied((*applied.policies, *others), 0) for tier, applied in self._tiers.items()
        }
        self._combined: dict[tuple[Tier, tuple[int, ...]], Applied] = {}

    def applying(self, tier: Tier, method: str, path: str) -> Applied:
        """What a request of `tier` to `path` (below /api/vN) is held to."""
        if path not in self._paths and not (self._below and path.startswith(self._below)):
            return self._tiers[tier]
        found = tuple(
            index for index, rule in enumerate(self._rules) if _matches(rule, method, path)
        )
        applied = self._combined.get((tier, found))
        if applied is None:
            applied = self._combined[tier, found] = self._combine(tier, found)
        return applied

    def everything(self, tier: Tier) -> tuple[Applied, int]:
        """The policies of `tier` and those of every route, and how many are the tier's."""
        return self._everything[tier], len(self._tiers[tier].policies)

    def policies(self) -> list[LimitPolicy]:
        """Every policy there is."""
        tiers = [policy for applied in self._tiers.values() for policy in applied.policies]
        rules = [policy for rule in self._rules for policy in rule.policies]
        return [*tiers, *rules, *self.refusals.policies]

    def _combine(self, tier: Tier, found: tuple[int, ...]) -> Applied:
        rules = [self._rules[index] for index in found]
        policies = [*self._tiers[tier].policies]
        for rule in rules:
            policies.extend(rule.policies)
        return Applied(tuple(policies), max((rule.cost for rule in rules), default=1))


def _matches(rule: RouteRule, method: str, path: str) -> bool:
    # HEAD is GET without the body and costs the service the same.
    meant = "GET" if method == "HEAD" else method
    if rule.method not in ("*", method, meant):
        return False
    if rule.path.endswith("/*"):
        return path.startswith(rule.path[:-1])
    return path == rule.path


def subjects(applied: Applied, principal: Principal | None, address: str) -> tuple[str, ...]:
    """For each policy, whom it counts: `u:` and the user's id, or `a:` and the address."""
    by_address = "a:" + address
    if principal is None:
        return (by_address,) * len(applied.policies)
    by_caller = "u:" + principal.user_id.hex
    if not applied.by_address:
        return (by_caller,) * len(applied.policies)
    return tuple(
        [by_address if policy.key is Key.ADDRESS else by_caller for policy in applied.policies]
    )
