"""API keys, by the hash of each; a revoked one is gone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from services.auth.domain import ApiKey, User
from services.auth.repository.users import USER_COLUMNS, user_of
from shared.database import Connection
from shared.ids import uuid7

_COLUMNS = ", ".join(
    f"k.{name}"
    for name in (
        "id", "user_id", "name", "last_four", "scopes", "created_at", "expires_at", "last_used_at",
    )
)  # fmt: skip


class ApiKeys:
    """Reads and writes API keys by one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def add(
        self,
        user_id: UUID,
        *,
        name: str,
        key_hash: bytes,
        last_four: str,
        scopes: Sequence[str],
        expires_at: datetime | None,
        now: datetime,
    ) -> ApiKey:
        row = await self._connection.fetchrow(
            "INSERT INTO api_keys AS k (id, user_id, name, hash, last_four, scopes, created_at,"
            f" expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING {_COLUMNS}",
            uuid7(),
            user_id,
            name,
            key_hash,
            last_four,
            list(scopes),
            now,
            expires_at,
        )
        return _key_of(row)

    async def count(self, user_id: UUID, now: datetime) -> int:
        """How many of an account's keys are good."""
        number: int = await self._connection.fetchval(
            "SELECT count(*) FROM api_keys WHERE user_id = $1"
            " AND (expires_at IS NULL OR expires_at > $2)",
            user_id,
            now,
        )
        return number

    async def of_user(self, user_id: UUID, now: datetime, limit: int) -> list[ApiKey]:
        """The good keys of an account, the newest first."""
        rows = await self._connection.fetch(
            f"SELECT {_COLUMNS} FROM api_keys k WHERE k.user_id = $1"
            " AND (k.expires_at IS NULL OR k.expires_at > $2) ORDER BY k.id DESC LIMIT $3",
            user_id,
            now,
            limit,
        )
        return [_key_of(row) for row in rows]

    async def locked(self, user_id: UUID, key_id: UUID, now: datetime) -> ApiKey | None:
        """One good key of an account, ours until the transaction ends."""
        row = await self._connection.fetchrow(
            f"SELECT {_COLUMNS} FROM api_keys k WHERE k.id = $1 AND k.user_id = $2"
            " AND (k.expires_at IS NULL OR k.expires_at > $3) FOR UPDATE",
            key_id,
            user_id,
            now,
        )
        return None if row is None else _key_of(row)

    async def expire(self, key_id: UUID, at: datetime) -> None:
        """Lets a key end at `at`, unless it ends before."""
        await self._connection.execute(
            "UPDATE api_keys SET expires_at = least(expires_at, $2) WHERE id = $1", key_id, at
        )

    async def remove(self, key_id: UUID) -> None:
        await self._connection.execute("DELETE FROM api_keys WHERE id = $1", key_id)

    async def by_hash(self, key_hash: bytes, now: datetime) -> ApiKey | None:
        """The good key with this hash: good by our clock and by that of the database."""
        row = await self._connection.fetchrow(
            f"SELECT {_COLUMNS} FROM api_keys k WHERE k.hash = $1"
            " AND (k.expires_at IS NULL OR k.expires_at > greatest($2, now()))",
            key_hash,
            now,
        )
        return None if row is None else _key_of(row)

    async def owner(self, key_id: UUID, now: datetime) -> User | None:
        """The owner of a good key, when he is active."""
        row = await self._connection.fetchrow(
            f"SELECT {USER_COLUMNS} FROM api_keys k JOIN users u ON u.id = k.user_id"
            " WHERE k.id = $1 AND (k.expires_at IS NULL OR k.expires_at > greatest($2, now()))"
            " AND u.is_active",
            key_id,
            now,
        )
        return None if row is None else user_of(row)

    async def touch(self, key_id: UUID, now: datetime, at_most_every: timedelta) -> bool:
        """Notes the use of a key; not oftener than asked, so that use costs no write each time.

        Returns whether it did: of two uses at once, one.
        """
        touched = await self._connection.fetchval(
            "UPDATE api_keys SET last_used_at = $2 WHERE id = $1"
            " AND (last_used_at IS NULL OR last_used_at < $3) RETURNING id",
            key_id,
            now,
            now - at_most_every,
        )
        return touched is not None

    async def purge(self, now: datetime, limit: int) -> int:
        """Removes at most `limit` keys past their time; returns how many."""
        rows = await self._connection.fetch(
            "DELETE FROM api_keys WHERE id = ANY (ARRAY(SELECT id FROM api_keys"
            " WHERE expires_at < $1 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED))"
            " RETURNING 1",
            now,
            limit,
        )
        return len(rows)


def _key_of(row: Mapping[str, Any]) -> ApiKey:
    return ApiKey(**dict(row))
