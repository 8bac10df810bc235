"""Requests that wait for a connection to an endpoint, and the connections opened for them.

A request takes whichever is there first: a connection that another request is done with, or a new
one. Few are opened at a time, so a thousand requests at once do not open a thousand connections
that nobody needs a moment later, nor wait for each other's to be accepted.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from services.gateway.upstream.connection import UpstreamConnection

AT_ONCE = 32  # connections that are being opened


class Waiter(Protocol):
    """Who waits. Nothing is told to one that has left the queue, or that was told already."""

    @property
    def is_repeatable(self) -> bool:
        """Whether its request may be sent again if the connection turns out to be closed."""

    def connected(self, connection: UpstreamConnection) -> None:
        """The connection is the waiter's."""

    def not_connected(self) -> None:
        """The endpoint refuses connections."""


class Queue:
    """First come, first served; who needs a new connection before those whom any will do."""

    __slots__ = ("_connect", "_now", "_opening", "_room", "_waiting", "_wanting_new", "moved_at")

    def __init__(
        self,
        connect: Callable[[], asyncio.Task[UpstreamConnection]],
        room: Callable[[], int],
        now: Callable[[], float],
    ) -> None:
        """`room` says how many more connections may be opened for those whom any will do."""
        self._connect = connect
        self._room = room
        self._now = now
        # Both with the time that opening a connection may take, in seconds, in order of arrival.
        self._waiting: dict[Waiter, float] = {}
        self._wanting_new: dict[Waiter, float] = {}
        self.moved_at = -math.inf  # when somebody got a connection, loop time
        self._opening: dict[asyncio.Task[UpstreamConnection], float] = {}  # until when, loop time

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting) + len(self._wanting_new)

    def enter(self, waiter: Waiter, patience: float, *, new: bool) -> None:
        """`waiter` wants a connection; `new` if it must be one that nobody has used."""
        (self._wanting_new if new else self._waiting)[waiter] = patience
        self._open_more()

    def leave(self, waiter: Waiter) -> None:
        """`waiter` wants none any more."""
        self._waiting.pop(waiter, None)
        self._wanting_new.pop(waiter, None)

    def offer(self, connection: UpstreamConnection) -> bool:
        """Hands over a connection that has become free; says whether somebody has it."""
        if not self._waiting:
            return False
        waiter = next(iter(self._waiting))
        if not waiter.is_repeatable and not connection.is_silent():
            connection.drop()
            self._open_more()
            return True
        self._give(waiter, connection)
        return True

    def sweep(self, now: float) -> None:
        """Gives up connections that take too long to open. To be called now and then."""
        for task in [task for task, until in self._opening.items() if until < now]:
            task.cancel()
        self._open_more()

    def close(self) -> None:
        """Gives up the connections that nobody waits for."""
        if not len(self):
            for task in self._opening:
                task.cancel()

    def _give(self, waiter: Waiter, connection: UpstreamConnection) -> None:
        self.leave(waiter)
        self.moved_at = self._now()
        waiter.connected(connection)

    def _first(self) -> Waiter | None:
        return next(iter(self._wanting_new), None) or next(iter(self._waiting), None)

    def _open_more(self) -> None:
        while len(self._opening) < min(AT_ONCE, len(self)):
            if not self._room() and len(self._opening) >= len(self._wanting_new):
                return
            patience = next(iter((self._wanting_new or self._waiting).values()))
            task = self._connect()
            self._opening[task] = self._now() + patience
            task.add_done_callback(self._opened)

    def _opened(self, task: asyncio.Task[UpstreamConnection]) -> None:
        del self._opening[task]
        waiter = self._first()
        if task.cancelled():
            # It took too long; how long a request waits is its own deadline's to say.
            pass
        elif task.exception() is not None or not task.result().is_open:
            if waiter is not None:
                self.leave(waiter)
                waiter.not_connected()
        elif waiter is not None:
            self._give(waiter, task.result())
        else:
            task.result().keep()
        self._open_more()
