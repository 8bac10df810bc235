"""When a delivery that failed is tried again."""

from __future__ import annotations

import random
from datetime import timedelta

_MINUTE, _HOUR = 60.0, 3600.0
# Seconds after the first attempt, the second, and so on (Standard Webhooks 1.0).
DELAYS = (
    5.0, 5 * _MINUTE, 30 * _MINUTE, 2 * _HOUR, 5 * _HOUR, 10 * _HOUR, 14 * _HOUR, 20 * _HOUR,
    24 * _HOUR,
)  # fmt: skip
_JITTER = 0.1
MAX_RETRY_AFTER_SECONDS = 24 * _HOUR
# An endpoint that has failed for so long without a success is disabled.
_GIVE_UP = timedelta(days=5)
_GIVE_UP_AT_LEAST = timedelta(minutes=10)


def pause_seconds(attempts: int, scale: float, retry_after: float | None = None) -> float | None:
    """Seconds until the next attempt after that many; None when there is no other.

    Jitter keeps the deliveries of one outage apart. The receiver may ask for a longer pause.
    """
    if attempts > len(DELAYS):
        return None
    pause = DELAYS[attempts - 1] * scale * random.uniform(1.0, 1.0 + _JITTER)
    return max(pause, min(retry_after or 0.0, MAX_RETRY_AFTER_SECONDS))


def give_up_after(scale: float) -> timedelta:
    """How long an endpoint may fail without a success before it is disabled."""
    return max(_GIVE_UP * scale, _GIVE_UP_AT_LEAST)
