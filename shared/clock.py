"""The only place that reads the wall clock for domain times."""

from __future__ import annotations

import time
from datetime import UTC, datetime

_STARTED, _STARTED_MONOTONIC = time.time(), time.monotonic()


def utc_now() -> datetime:
    """The current time, aware, in UTC."""
    return datetime.now(UTC)


def time_not_going_back() -> float:
    """Epoch seconds as of the wall clock, or of the start and what has passed since, if later.

    What has expired stays so when the wall clock is set back. One that is ahead and comes right
    again is believed again, unless the process started meanwhile.
    """
    return max(time.time(), _STARTED + time.monotonic() - _STARTED_MONOTONIC)
