"""What a request's policies came to, and the fields that tell the caller."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from services.gateway.limits.gcra import judge
from services.gateway.limits.policies import Applied, LimitPolicy

_SECOND = 1_000_000


class Standing(NamedTuple):
    """One policy after the request: times in microseconds; `retry_after` is 0 unless it refused."""

    policy: LimitPolicy
    remaining: int
    reset: int
    retry_after: int

    @property
    def seconds_left(self) -> int:
        """Until the caller may come again when refused, else until the quota is whole again."""
        return -(-(self.retry_after or self.reset) // _SECOND)


class Quota:
    """The outcome of one atomic step over all policies of a request.

    `debts` are what each counter owed before it, in microseconds; the rest follows from them.
    A refusal by one policy leaves all of them as they were.
    """

    __slots__ = ("allowed", "applied", "rows")

    def __init__(self, applied: Applied, debts: list[int], cost: int) -> None:
        self.applied = applied
        self.allowed = True
        rows = []
        for policy, debt in zip(applied.policies, debts, strict=True):
            interval, capacity = policy.interval_us, policy.capacity_us
            after = debt + cost * interval
            # What `gcra.judge` says of a request that fits, written out: it is on every request.
            if after <= capacity:
                rows.append((policy, (capacity - after) // interval, after, 0))
                continue
            _, remaining, reset, retry_after = judge(debt, 0, interval, policy.count, cost)
            if not policy.shadow:
                self.allowed = False
            rows.append((policy, remaining, reset, retry_after))
        if not self.allowed:
            rows = [
                row if row[3] else _untouched(row[0], debt)
                for row, debt in zip(rows, debts, strict=True)
            ]
        self.rows: list[tuple[LimitPolicy, int, int, int]] = rows  # what `standings` are made of

    @property
    def standings(self) -> list[Standing]:
        """Every policy, in the order of `applied`."""
        return [Standing(*row) for row in self.rows]

    @property
    def enforced(self) -> list[Standing]:
        """The policies that count."""
        return [standing for standing in self.standings if not standing.policy.shadow]

    @property
    def shadow(self) -> list[Standing]:
        """The policies that are only watched."""
        return [standing for standing in self.standings if standing.policy.shadow]

    @property
    def violated(self) -> list[Standing]:
        """The policies that refused."""
        return [standing for standing in self.enforced if standing.retry_after]

    @property
    def retry_after_seconds(self) -> int:
        """When every policy would admit the same request again, rounded up."""
        return max((standing.seconds_left for standing in self.violated), default=0)


def _untouched(policy: LimitPolicy, debt: int) -> tuple[LimitPolicy, int, int, int]:
    _, remaining, reset, _ = judge(debt, 0, policy.interval_us, policy.count, 0)
    return policy, remaining, reset, 0


def lines(rows: Sequence[tuple[LimitPolicy, int, int, int]], listed: str) -> bytes:
    """The header lines of a limited answer, from its enforced policies: `Quota.rows`.

    `RateLimit-Policy` and `RateLimit` are draft-ietf-httpapi-ratelimit-headers-11; the X- fields
    name the tightest policy (of equals, the one that recovers last), their reset being epoch
    seconds. `listed` is `listing` of the same policies.
    """
    if not rows:
        return b""
    shown = ""
    limit, least, latest = 0, -1, 0
    for policy, remaining, reset, retry_after in rows:
        seconds = -(-(retry_after or reset) // _SECOND)
        shown = f"{shown}, {policy.quoted};r={remaining};t={seconds}"
        if least < 0 or remaining < least or (remaining == least and seconds > latest):
            limit, least, latest = policy.count, remaining, seconds
    reset_at = int(time.time()) + latest
    return (
        f"x-ratelimit-limit: {limit}\r\nx-ratelimit-remaining: {least}\r\n"
        f"x-ratelimit-reset: {reset_at}\r\n{listed}ratelimit: {shown[2:]}\r\n"
    ).encode("ascii")


def describe(standing: Standing) -> dict[str, Any]:
    """One policy as `GET /api/rate-limit-status` shows it and a 429 lists it."""
    policy = standing.policy
    return {
        "policy": policy.name,
        "limit": policy.count,
        "period_seconds": policy.period,
        "remaining": standing.remaining,
        "reset_seconds": standing.seconds_left,
    }
