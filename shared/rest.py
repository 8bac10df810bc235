"""Connections between two uses, handed on without going through asyncpg's pool.

That way takes a timer, a future, a task and a turn of the loop for every use. The pool still sees
each connection again after a while, and replaces what is old.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import asyncpg

_SECONDS = 60.0
_USES = 1_000


class Rested(NamedTuple):
    """A connection that was at rest; only a `fit` one may be used."""

    connection: Any
    fit: bool


class Rest:
    """The connections of one pool that are at rest, and how long those in use may go on."""

    def __init__(self) -> None:
        self._resting: list[tuple[Any, float, int]] = []
        self._lent: dict[Any, tuple[float, int]] = {}

    def __len__(self) -> int:
        return len(self._resting)

    def lend(self, connection: Any) -> None:
        """Begins to count for a connection that comes from the pool."""
        self._lent[connection] = (time.monotonic() + _SECONDS, _USES)

    def take(self) -> Rested | None:
        """The one that came last; None when there is none."""
        if not self._resting:
            return None
        connection, until, uses = self._resting.pop()
        if uses == 0 or time.monotonic() > until or not _is_idle(connection):
            return Rested(connection, fit=False)
        self._lent[connection] = (until, uses - 1)
        return Rested(connection, fit=True)

    def keep(self, connection: Any, *, wanted: bool) -> bool:
        """Whether a connection that was in use rests here; otherwise it goes back to the pool."""
        until, uses = self._lent.pop(connection)
        if not wanted or not _is_idle(connection):
            return False
        self._resting.append((connection, until, uses))
        return True


def _is_idle(connection: Any) -> bool:
    try:
        return not (connection.is_closed() or connection.is_in_transaction())
    except asyncpg.InterfaceError:
        # It broke, and the pool has taken it back by itself.
        return False
