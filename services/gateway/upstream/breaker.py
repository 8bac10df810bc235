"""A circuit breaker: a service that only fails is left alone for a moment."""

from __future__ import annotations

import math


class Breaker:
    """Opens after `threshold` failures in a row of a service none of whose endpoints does well.

    While it is open nothing is sent. After `open_seconds` one request at a time goes as a probe,
    until one succeeds. A probe that never tells its result (its client left) makes way for the
    next after another `open_seconds`.
    """

    __slots__ = ("_next_probe", "_open_seconds", "_threshold", "failures", "opened")

    def __init__(self, threshold: int = 10, open_seconds: float = 1.0) -> None:
        self._threshold = threshold or math.inf
        self._open_seconds = open_seconds
        self.failures = 0  # in a row
        self._next_probe = 0.0
        self.opened = 0  # how often it has opened

    @property
    def is_open(self) -> bool:
        """Whether requests are refused without an attempt."""
        return self.failures >= self._threshold

    def admits(self, now: float) -> bool:
        """Whether a request may be sent at `now`, loop time."""
        if self.failures < self._threshold:
            return True
        if now < self._next_probe:
            return False
        self._next_probe = now + self._open_seconds
        return True

    def succeeded(self) -> None:
        """The service has answered."""
        self.failures = 0

    def failed(self, now: float) -> None:
        """The service has given no answer."""
        self.failures += 1
        if self.failures == self._threshold:
            self.opened += 1
        if self.failures >= self._threshold:
            self._next_probe = now + self._open_seconds
