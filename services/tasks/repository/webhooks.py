"""Webhooks as their owners see them, with the log of their deliveries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from shared.database import Connection


class Webhook(NamedTuple):
    """Where an owner wants to be told of which events. The names are those of the columns."""

    id: UUID
    owner_id: UUID
    url: str
    events: list[str]
    description: str | None
    enabled: bool
    disabled_reason: str | None
    failing_since: datetime | None
    created_at: datetime
    updated_at: datetime
    secret: bytes
    previous_secret: bytes | None
    previous_secret_until: datetime | None


class Delivery(NamedTuple):
    """One event on its way to one webhook. The names are those of the columns."""

    id: UUID
    webhook_id: UUID
    event_id: UUID
    type: str
    task_id: UUID | None
    sequence: int | None
    state: str
    attempts: int
    next_attempt_at: datetime | None
    last_attempt_at: datetime | None
    last_status: int | None
    last_error: str | None
    created_at: datetime


class StoredSecrets(NamedTuple):
    """The secrets of one webhook as they are stored."""

    id: UUID
    secret: bytes
    previous_secret: bytes | None


_COLUMNS = ", ".join(Webhook._fields)
_PLACES = ", ".join(f"${at}" for at in range(1, len(Webhook._fields) + 1))
_DELIVERY = ", ".join(f"deliveries.{name}" for name in Delivery._fields)
_LOG = f"""
    SELECT counted.total, page.* FROM (
        SELECT count(*) AS total FROM deliveries
        WHERE webhook_id = $1 AND ($2::text IS NULL OR state = $2)
    ) AS counted LEFT JOIN (
        SELECT {_DELIVERY} FROM deliveries
        WHERE webhook_id = $1 AND ($2::text IS NULL OR state = $2)
        ORDER BY created_at DESC, id DESC OFFSET $3 LIMIT $4
    ) AS page ON true
    ORDER BY page.created_at DESC, page.id DESC
"""
_AGAIN = f"""
    UPDATE deliveries SET state = 'pending', attempts = 0, next_attempt_at = now()
    WHERE id = $1 AND owner_id = $2 RETURNING {_DELIVERY}
"""
_RANGE_AGAIN = """
    WITH chosen AS (
        SELECT id FROM deliveries
        WHERE webhook_id = $1 AND created_at >= $2 AND created_at < $3 AND state = ANY($4)
        ORDER BY created_at, id LIMIT $5
    ), again AS (
        UPDATE deliveries SET state = 'pending', attempts = 0, next_attempt_at = now()
        FROM chosen WHERE deliveries.id = chosen.id RETURNING created_at
    )
    SELECT count(*), max(created_at) FROM again
"""


# Deliveries refer to their webhook: a stronger lock would keep changes of tasks waiting.
_SECRETS = """
    SELECT id, secret, previous_secret FROM webhooks WHERE id > $1
    ORDER BY id LIMIT $2 FOR NO KEY UPDATE
"""
_SAVE_SECRETS = """
    UPDATE webhooks SET secret = given.secret, previous_secret = given.previous_secret
    FROM unnest($1::uuid[], $2::bytea[], $3::bytea[]) AS given (id, secret, previous_secret)
    WHERE webhooks.id = given.id
"""


class WebhookRepository:
    """Webhooks behind one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def hold_owner(self, owner_id: UUID) -> None:
        """Makes what an owner does to his set of webhooks take turns until the end."""
        await self._connection.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended('webhooks ' || $1::text, 0))",
            str(owner_id),
        )

    async def of_owner(self, owner_id: UUID) -> list[Webhook]:
        """The owner's webhooks, the newest first."""
        rows = await self._connection.fetch(
            f"SELECT {_COLUMNS} FROM webhooks WHERE owner_id = $1 ORDER BY created_at DESC, id",
            owner_id,
        )
        return [Webhook._make(row) for row in rows]

    async def find(self, owner_id: UUID, webhook_id: UUID, *, lock: bool = False) -> Webhook | None:
        """The owner's webhook; with `lock` nobody else changes it until the transaction ends."""
        row = await self._connection.fetchrow(
            f"SELECT {_COLUMNS} FROM webhooks WHERE id = $1 AND owner_id = $2"
            f"{' FOR UPDATE' if lock else ''}",
            webhook_id,
            owner_id,
        )
        return None if row is None else Webhook._make(row)

    async def add(self, webhook: Webhook) -> None:
        """Stores a new webhook."""
        await self._connection.execute(
            f"INSERT INTO webhooks ({_COLUMNS}) VALUES ({_PLACES})", *webhook
        )

    async def save(self, webhook_id: UUID, fields: Mapping[str, Any]) -> None:
        """Writes these columns."""
        assignments = ", ".join(f"{name} = ${at}" for at, name in enumerate(fields, 2))
        await self._connection.execute(
            f"UPDATE webhooks SET {assignments} WHERE id = $1", webhook_id, *fields.values()
        )

    async def secrets_after(self, webhook_id: UUID, limit: int) -> list[StoredSecrets]:
        """The secrets of the next webhooks by id, ours to change until the transaction ends."""
        rows = await self._connection.fetch(_SECRETS, webhook_id, limit)
        return [StoredSecrets._make(row) for row in rows]

    async def save_secrets(self, changed: Sequence[StoredSecrets]) -> None:
        """Writes these secrets."""
        columns = [list(column) for column in zip(*changed, strict=True)]
        await self._connection.execute(_SAVE_SECRETS, *columns)

    async def delete(self, owner_id: UUID, webhook_id: UUID) -> bool:
        """Removes the owner's webhook with its deliveries; whether there was one."""
        tag: str = await self._connection.execute(
            "DELETE FROM webhooks WHERE id = $1 AND owner_id = $2", webhook_id, owner_id
        )
        return tag == "DELETE 1"

    async def add_test(self, webhook: Webhook, event_id: UUID, kind: str) -> Delivery:
        """Queues an event that tells of nothing."""
        row = await self._connection.fetchrow(
            f"INSERT INTO deliveries (webhook_id, owner_id, event_id, type) "
            f"VALUES ($1, $2, $3, $4) RETURNING {_DELIVERY}",
            webhook.id,
            webhook.owner_id,
            event_id,
            kind,
        )
        return Delivery._make(row)

    async def deliveries(
        self, webhook_id: UUID, state: str | None, offset: int, limit: int
    ) -> tuple[int, list[Delivery]]:
        """How many deliveries there are, in that state or in any, and some, the newest first."""
        rows = await self._connection.fetch(_LOG, webhook_id, state, offset, limit)
        total: int = rows[0][0]
        if rows[0][1] is None:
            return total, []
        return total, [Delivery._make(tuple(row)[1:]) for row in rows]

    async def redeliver(self, owner_id: UUID, delivery_id: UUID) -> Delivery | None:
        """Puts a delivery of the owner back at the beginning of its attempts."""
        row = await self._connection.fetchrow(_AGAIN, delivery_id, owner_id)
        return None if row is None else Delivery._make(row)

    async def redeliver_range(
        self,
        webhook_id: UUID,
        since: datetime,
        until: datetime,
        states: list[str],
        limit: int,
    ) -> tuple[int, datetime | None]:
        """The same for at most `limit` deliveries in those states that were made in that time.

        Begins with the oldest; how many they were, and when the last of them was made.
        """
        row = await self._connection.fetchrow(_RANGE_AGAIN, webhook_id, since, until, states, limit)
        return row[0], row[1]
