"""How the queue of deliveries stands, for those who watch it. All times are the server's own."""

from __future__ import annotations

from typing import NamedTuple

from shared.database import Connection

# Counted up to a limit: beyond it nobody cares how many, and a look must stay cheap.
COUNTED = 100_000
# A webhook that fails keeps what is due until its next attempt: that is the receiver's delay, so
# the oldest is sought among the webhooks that are well.
_STANDING = """
    SELECT
        (SELECT count(*) FROM (
            SELECT 1 FROM deliveries WHERE state = 'pending' LIMIT $1
        ) AS pending) AS pending,
        (SELECT coalesce(extract(epoch FROM now() - min(first.next_attempt_at)), 0)
            FROM webhooks CROSS JOIN LATERAL (
                SELECT next_attempt_at FROM deliveries
                WHERE webhook_id = webhooks.id AND state = 'pending' AND next_attempt_at <= now()
                ORDER BY next_attempt_at LIMIT 1
            ) AS first
            WHERE webhooks.enabled AND webhooks.failing_since IS NULL
        )::float8 AS overdue_seconds,
        count(*) FILTER (WHERE enabled AND failing_since IS NOT NULL) AS failing,
        count(*) FILTER (WHERE NOT enabled AND disabled_reason IS NOT NULL) AS disabled
    FROM webhooks
"""


class Standing(NamedTuple):
    """`pending` deliveries (at most 100 000 are counted), how long the first that could go out has
    been due, and how many webhooks fail or were disabled because they did."""

    pending: int
    overdue_seconds: float
    failing: int
    disabled: int


class BacklogRepository:
    """The queue behind one connection, looked at and left as it is."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def standing(self) -> Standing:
        return Standing._make(await self._connection.fetchrow(_STANDING, COUNTED))
