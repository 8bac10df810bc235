"""What is written in one turn of the event loop goes out together at the end of the turn.

A write wakes who reads from the other end. If it comes alone, that process has answered and gone to
sleep again before the next write wakes it anew; if several come close together, it is woken once,
its answers come together as well, and one wait of ours brings them all.
"""

from __future__ import annotations

import asyncio

# So many wait at most: the first of a thousand requests is not to wait for the last.
_MOST = 32
# After a turn with a single write so many go out at once, before it is tried again to gather some.
_ALONE = 16


class Outgoing:
    """Writes to the transports of one event loop, for each in the order in which it was told."""

    __slots__ = ("_alone", "_gathered", "_loop", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: list[tuple[asyncio.Transport, bytes]] = []
        self._gathered = 0  # in this turn; 0 when its end is not waited for
        self._alone = 0

    def write(self, transport: asyncio.Transport, data: bytes) -> None:
        """Sends `data`, now or before the event loop waits again."""
        if self._alone and not self._gathered:
            self._alone -= 1
            transport.write(data)
            return
        if not self._gathered:
            self._loop.call_soon(self._turn_over)
        self._gathered += 1
        self._waiting.append((transport, data))
        if len(self._waiting) >= _MOST:
            self.flush()

    def flush(self) -> None:
        """Sends what waits. To be called before a transport is closed, or it would be lost."""
        waiting, self._waiting = self._waiting, []
        for transport, data in waiting:
            if not transport.is_closing():
                transport.write(data)

    def _turn_over(self) -> None:
        if self._gathered == 1:
            self._alone = _ALONE
        self._gathered = 0
        self.flush()
