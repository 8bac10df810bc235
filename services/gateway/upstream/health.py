"""How an endpoint has been doing, and whether requests should go there."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HealthSettings:
    """When an endpoint is taken out, and how it comes back. Seconds and counts."""

    eject_after: int = 5  # failures in a row; 0 never ejects
    base_ejection: float = 2.0  # times the ejections so far
    max_ejection: float = 30.0
    forgive_after: float = 60.0  # seconds of health that take one ejection off the account
    slow_start: float = 5.0  # an endpoint that comes back gets its share over this long
    panic_below: float = 0.5  # share of healthy endpoints below which health is ignored


class Health:
    """Ejection of one endpoint (after Envoy's outlier detection), and the ramp after it."""

    __slots__ = ("_ejections", "_failures", "_returned_at", "_settings", "clean", "ejected_until")

    def __init__(self, settings: HealthSettings) -> None:
        self._settings = settings
        self._failures = 0
        self._ejections = 0
        self._returned_at = 0.0
        self.clean = True  # whether there is nothing on its account
        self.ejected_until = 0.0  # loop time, 0 when it is in

    @property
    def is_failing(self) -> bool:
        """Whether the last that is known of it is a failure."""
        return self._failures > 0 or self.ejected_until > 0

    def succeeded(self, now: float) -> None:
        """It has answered."""
        self._failures = 0
        if self.ejected_until:
            self.readmit(now)
        elif self._ejections and now - self._returned_at > self._settings.forgive_after:
            self._ejections -= 1
            self._returned_at = now
        self.clean = not self._ejections

    def failed(self, now: float) -> None:
        """It was not reached, gave no usable answer, or one that says that it cannot."""
        self.clean = False
        self._failures += 1
        settings = self._settings
        if not settings.eject_after or self._failures < settings.eject_after:
            return
        if now < self.ejected_until:
            return
        self._ejections += 1
        self._failures = 0
        length = min(settings.base_ejection * self._ejections, settings.max_ejection)
        self.ejected_until = now + length

    def readmit(self, now: float) -> None:
        """Ends an ejection, because it has answered or its time is over."""
        self.ejected_until = 0.0
        self._failures = 0
        self._returned_at = now

    def check_passed(self, now: float) -> None:
        """An active check has found it well: it is let in again, if a check has put it out."""
        if self.ejected_until == math.inf:
            self.readmit(now)

    def check_failed(self) -> None:
        """Active checks find it ill; it stays out until one finds it well."""
        if self.ejected_until != math.inf:
            self.clean = False
            self._ejections += 1
            self.ejected_until = math.inf

    def is_ejected(self, now: float) -> bool:
        """Whether requests should go elsewhere at `now`."""
        if not self.ejected_until:
            return False
        if now < self.ejected_until:
            return True
        self.readmit(now)
        return False

    def weight(self, now: float) -> float:
        """Its share against a settled endpoint, more than 0 and at most 1."""
        if not self._ejections:
            return 1.0
        age = now - self._returned_at
        if age >= self._settings.slow_start:
            return 1.0
        return max(0.1, age / self._settings.slow_start)
