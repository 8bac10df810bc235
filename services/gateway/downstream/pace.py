"""The least rate at which a client has to send a body, and to read an answer."""

from __future__ import annotations

import asyncio
import math

from services.gateway.downstream.limits import ServerLimits

NEVER = math.inf


def next_deadline(deadline: float, size: int, now: float, limits: ServerLimits) -> float:
    """When the next bytes are due, `size` of them having passed at `now`, loop time.

    A leaky bucket: whoever is ahead of the rate may stand still, but not for longer than the
    grace, however far ahead. `deadline` is the one before, or NEVER.
    """
    latest = now + limits.rate_grace
    if deadline == NEVER:
        return latest
    return min(latest, deadline + size / limits.min_body_rate)


class WriteWatch:
    """Watches what is written for a client that has stopped reading, or that is to be left."""

    __slots__ = ("_deadline", "_limits", "_transport", "_waiting")

    def __init__(self, transport: asyncio.Transport, limits: ServerLimits) -> None:
        self._transport = transport
        self._limits = limits
        self._deadline = NEVER
        self._waiting = transport.get_write_buffer_size()

    def is_late(self, now: float) -> bool:
        """Whether the client reads too slowly. To be asked every fraction of a second."""
        waiting = self._transport.get_write_buffer_size()
        if not waiting:
            self._deadline = NEVER
            return False
        drained = max(0, self._waiting - waiting)
        self._waiting = waiting
        self._deadline = next_deadline(self._deadline, drained, now, self._limits)
        return self._deadline < now
