"""How connections end out of turn: by a reset, or because the client has closed its side.

Such a client waits for its answer, or it is gone. On the wire both look the same until it is sent
something: who is gone resets the connection then. A 100 may be sent for this at any time before
the answer, as whoever does not wait for one has to pass over it (RFC 9110 section 15.2.1).
"""

from __future__ import annotations

import asyncio
import select
import struct
from socket import SO_LINGER, SOL_SOCKET
from typing import TYPE_CHECKING

from services.gateway.downstream.limits import ServerLimits

if TYPE_CHECKING:
    from services.gateway.downstream.turn import Turn


class Departure:
    """Looks from time to time whether there still is somebody to answer."""

    __slots__ = ("_asked", "_limits", "_poll", "_silent", "_told", "_transport")

    def __init__(self, transport: asyncio.Transport, limits: ServerLimits) -> None:
        self._transport = transport
        self._limits = limits
        # The event loop does not look any more at a stream whose end it has seen. No event is
        # asked for: an error and the end of both directions are told in any case.
        self._poll = select.poll()
        self._poll.register(transport.get_extra_info("socket").fileno(), 0)
        self._asked = False
        self._told = (0.0, 0)  # which request, and bytes of its answer, at the last look
        self._silent = 0  # looks since they have changed

    def look(self, turn: Turn) -> float | None:
        """Seconds until the next look, if the client still waits for the answer of `turn`.

        None if it is gone, or if that cannot be told and its answer stands still.
        """
        if self._poll.poll(0):
            return None
        if self._asked:
            self._asked = False
        elif turn.ask_for_patience():
            self._asked = True
            return 0.0
        elif self._stands_still((turn.exchange.received_at, turn.sent)):
            return None
        return self._limits.half_close_grace

    def _stands_still(self, told: tuple[float, int]) -> bool:
        """Counts looks, not seconds: a process that has had no time has not waited either."""
        reads_on = told != self._told or self._transport.get_write_buffer_size()
        self._told = told
        self._silent = 0 if reads_on else self._silent + 1
        longest = self._limits.rate_grace / self._limits.half_close_grace
        return self._silent >= max(2, longest)


def reset_when_closed(transport: asyncio.Transport) -> None:
    """Lets the client see a reset in place of the end of the stream."""
    socket = transport.get_extra_info("socket")
    socket.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
