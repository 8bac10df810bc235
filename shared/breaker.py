"""A switch that spares everybody the wait for something that is down."""

from __future__ import annotations

import time
from collections.abc import Callable


class Breaker:
    """Open for `pause` seconds after a failure; then one caller may try, the others not yet."""

    def __init__(self, *, pause: float = 1.0, now: Callable[[], float] = time.monotonic) -> None:
        self._pause = pause
        self._now = now
        self._retry_at: float | None = None

    @property
    def closed(self) -> bool:
        """Whether the last attempt that ended went well."""
        return self._retry_at is None

    def allows(self) -> bool:
        """Whether to try now. Saying yes while open makes the caller the one that tries."""
        if self._retry_at is None:
            return True
        now = self._now()
        if now < self._retry_at:
            return False
        self._retry_at = now + self._pause
        return True

    def succeeded(self) -> None:
        self._retry_at = None

    def failed(self) -> None:
        self._retry_at = self._now() + self._pause
