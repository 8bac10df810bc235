"""How loudly a failure is told that comes back with every try."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

# Whoever starts before the other side waits for it so long: that is no warning yet.
START_SECONDS = 10.0
# An outage fills no disk: it is told of so often, and its metric counts every failure.
REMIND_SECONDS = 60.0


class Teller(Protocol):
    """The part of a logger that is used here."""

    def info(self, event: str, **facts: Any) -> Any: ...
    def warning(self, event: str, **facts: Any) -> Any: ...


class Outage:
    """Tells of one thing that is asked again and again, and may be away for any time.

    The first failure of a start is an info; what fails for longer, or after it has worked, is a
    warning at once and then every `REMIND_SECONDS`, until it `is_over`.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._patient_until = now() + START_SECONDS
        self._told_at: float | None = None
        self._warned = False

    def failed(self, log: Teller, event: str, **facts: Any) -> None:
        """One more try has failed."""
        now = self._now()
        if now < self._patient_until:
            if self._told_at is None:
                log.info(event, **facts)
                self._told_at = now
        elif not self._warned or self._told_at is None or now - self._told_at >= REMIND_SECONDS:
            log.warning(event, **facts)
            self._told_at, self._warned = now, True

    def is_over(self) -> None:
        """A try has succeeded."""
        self._told_at, self._warned, self._patient_until = None, False, -1.0
