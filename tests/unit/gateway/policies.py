"""Policies and requests for tests of the limiter."""

from __future__ import annotations

from services.gateway.limits.policies import (
    Applied,
    FailureMode,
    Key,
    LimitPolicy,
    policies_of,
)


def policy(
    rate: str,
    name: str = "p",
    *,
    key: Key = Key.CALLER,
    shadow: bool = False,
    on_failure: FailureMode = FailureMode.LOCAL,
) -> LimitPolicy:
    """One policy of `rate`."""
    (made,) = policies_of(name, [rate], key=key, shadow=shadow, on_failure=on_failure)
    return made


def applied(*policies: LimitPolicy, cost: int = 1) -> Applied:
    """A request held to `policies`."""
    return Applied(policies, cost)


class Clock:
    """Microseconds that stand still until told otherwise."""

    def __init__(self) -> None:
        self.now = 1_000_000_000

    def __call__(self) -> int:
        return self.now

    def pass_seconds(self, seconds: float) -> None:
        self.now += round(seconds * 1_000_000)
