"""The clock that all replicas share."""

from __future__ import annotations

from datetime import timedelta

from shared.clock import utc_now
from shared.database import Connection


class DatabaseClock:
    """Reads it by one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def behind(self) -> timedelta:
        """How much it is behind ours; nothing when it is ahead."""
        behind: timedelta = utc_now() - await self._connection.fetchval("SELECT clock_timestamp()")
        return max(behind, timedelta(0))
