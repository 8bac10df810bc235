"""The queue of deliveries as the worker sees it. All times are the server's own."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from shared.database import Connection

_WAITING = """
    SELECT webhooks.id FROM webhooks
    WHERE enabled AND id <> ALL($1) AND EXISTS (
        SELECT 1 FROM deliveries WHERE webhook_id = webhooks.id AND state = 'pending'
        AND next_attempt_at <= now()
    ) ORDER BY failing_since NULLS FIRST LIMIT $2
"""
# A claim is a date in the future: whatever becomes of the worker, the delivery comes up again.
# A later event of a task waits until the earlier ones are delivered or dead.
_CLAIM = """
    WITH target AS (
        SELECT id, url, secret, failing_since,
            CASE WHEN previous_secret_until > now() THEN previous_secret END AS previous_secret
        FROM webhooks WHERE id = $1 AND enabled
    ), due AS (
        SELECT one.id FROM deliveries AS one
        WHERE one.webhook_id = $1 AND EXISTS (SELECT 1 FROM target)
        AND one.state = 'pending' AND one.next_attempt_at <= now()
        AND NOT EXISTS (
            SELECT 1 FROM deliveries AS other
            WHERE other.webhook_id = $1 AND other.state = 'pending'
            AND other.task_id = one.task_id AND other.sequence < one.sequence
        )
        ORDER BY one.next_attempt_at, one.sequence
        LIMIT (SELECT CASE WHEN failing_since IS NULL THEN $2::bigint ELSE 1 END FROM target)
        FOR UPDATE OF one SKIP LOCKED
    ), claimed AS (
        UPDATE deliveries SET attempts = attempts + 1, last_attempt_at = now(),
            next_attempt_at = now() + $3::interval
        FROM due WHERE deliveries.id = due.id RETURNING deliveries.*
    )
    SELECT claimed.id, claimed.event_id, claimed.type, claimed.sequence, claimed.attempts,
        claimed.created_at, changes.at, changes.task, changes.previous,
        target.url, target.secret, target.previous_secret
    FROM claimed CROSS JOIN target LEFT JOIN changes USING (owner_id, sequence)
    ORDER BY claimed.sequence
"""
_DELIVERED = """
    UPDATE deliveries SET state = 'delivered', next_attempt_at = NULL, last_error = NULL,
        last_status = given.status
    FROM unnest($1::uuid[], $2::smallint[]) AS given (id, status) WHERE deliveries.id = given.id
"""
# Not of a claim that was lost: whoever has it since, or has delivered it, knows better.
_FAILED = """
    UPDATE deliveries SET last_status = $2, last_error = $3,
        state = CASE WHEN $4::float8 IS NULL THEN 'dead' ELSE 'pending' END,
        next_attempt_at = now() + make_interval(secs => $4::float8)
    WHERE id = $1 AND state = 'pending' AND attempts = $5
"""
_ENDPOINT_FAILED = """
    UPDATE webhooks SET failing_since = coalesce(failing_since, now()),
        enabled = enabled AND NOT $2::boolean
            AND coalesce(failing_since, now()) > now() - $3::interval,
        disabled_reason = CASE
            WHEN $2::boolean THEN 'The receiver answered 410 Gone.'
            WHEN failing_since <= now() - $3::interval THEN 'Every delivery failed for days.'
            ELSE disabled_reason
        END
    WHERE id = $1 RETURNING enabled
"""
_PURGE = """
    DELETE FROM deliveries WHERE id IN (
        SELECT id FROM deliveries WHERE created_at < $1 AND state <> 'pending'
        ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED
    )
"""


class Claim(NamedTuple):
    """A delivery to be attempted at once, with all that is needed for it."""

    id: UUID
    event_id: UUID
    type: str
    sequence: int | None
    attempts: int
    created_at: datetime
    at: datetime | None
    task: str | None
    previous: str | None
    url: str
    secret: bytes
    previous_secret: bytes | None


class DeliveryQueue:
    """The queue behind one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def waiting(self, busy: Sequence[UUID], limit: int) -> list[UUID]:
        """Webhooks that something is due for, but for the busy ones; those that fail come last."""
        return [row[0] for row in await self._connection.fetch(_WAITING, busy, limit)]

    async def claim(self, webhook_id: UUID, limit: int, lease: timedelta) -> list[Claim]:
        """Takes what is due for one webhook; nobody else gets it before `lease` is over.

        A webhook that fails gets a single one, to see whether it is back.
        """
        rows = await self._connection.fetch(_CLAIM, webhook_id, limit, lease)
        return [Claim._make(row) for row in rows]

    async def delivered(self, webhook_id: UUID, ids: Sequence[UUID], statuses: list[int]) -> None:
        """Books successes, and with them that the webhook is well."""
        await self._connection.execute(_DELIVERED, ids, statuses)
        await self._connection.execute(
            "UPDATE webhooks SET failing_since = NULL WHERE id = $1 AND failing_since IS NOT NULL",
            webhook_id,
        )

    async def failed(
        self, claim: Claim, status: int | None, error: str | None, pause: float | None
    ) -> None:
        """Books a failure; `pause` is the seconds until the next attempt, None means never."""
        await self._connection.execute(_FAILED, claim.id, status, error, pause, claim.attempts)

    async def endpoint_failed(self, webhook_id: UUID, *, gone: bool, give_up: timedelta) -> bool:
        """Books that a webhook fails; whether it is still enabled after that.

        It is not when it is gone, or has failed for as long as `give_up`.
        """
        enabled: bool | None = await self._connection.fetchval(
            _ENDPOINT_FAILED, webhook_id, gone, give_up
        )
        return enabled is not False

    async def purge(self, before: datetime, limit: int) -> int:
        """Removes at most `limit` finished deliveries older than that; returns how many."""
        tag: str = await self._connection.execute(_PURGE, before, limit)
        return int(tag.removeprefix("DELETE "))
