"""Accounts as administrators see and change them; one that was deleted is not there."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from services.auth.domain import User
from services.auth.repository.users import USER_COLUMNS, user_of
from shared.database import Connection

# Columns that a list may be narrowed by, and an account changed in.
FILTERS = ("role", "tier", "is_active", "email")
CHANGEABLE = ("name", "role", "tier", "is_active")


class Directory:
    """Reads and writes accounts by one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def page(
        self, filters: Mapping[str, Any], *, offset: int, limit: int
    ) -> tuple[list[User], int]:
        """Accounts, the newest first, and how many there are in all."""
        conditions, values = ["u.deleted_at IS NULL"], []
        for name in FILTERS:
            if name in filters:
                values.append(filters[name])
                conditions.append(f"u.{name} = ${len(values)}")
        where = " AND ".join(conditions)
        total: int = await self._connection.fetchval(
            f"SELECT count(*) FROM users u WHERE {where}", *values
        )
        rows = await self._connection.fetch(
            f"SELECT {USER_COLUMNS} FROM users u WHERE {where} ORDER BY u.id DESC"
            f" OFFSET ${len(values) + 1} LIMIT ${len(values) + 2}",
            *values,
            offset,
            limit,
        )
        return [user_of(row) for row in rows], total

    async def one(self, user_id: UUID) -> User | None:
        """The account."""
        return await self._one(user_id, "")

    async def locked(self, user_id: UUID) -> User | None:
        """The account, ours to change until the transaction ends."""
        return await self._one(user_id, " FOR UPDATE")

    async def administrators(self) -> list[UUID]:
        """The active administrators, who stay as they are until the transaction ends."""
        rows = await self._connection.fetch(
            "SELECT id FROM users WHERE role = 'admin' AND is_active ORDER BY id FOR UPDATE"
        )
        return [row["id"] for row in rows]

    async def change(self, user_id: UUID, changes: Mapping[str, Any], now: datetime) -> User:
        """The account with other values in CHANGEABLE columns."""
        names = [name for name in CHANGEABLE if name in changes]
        settings = "".join(f", {name} = ${place}" for place, name in enumerate(names, start=3))
        row = await self._connection.fetchrow(
            f"UPDATE users AS u SET updated_at = $2{settings} WHERE u.id = $1"
            f" RETURNING {USER_COLUMNS}",
            user_id,
            now,
            *(changes[name] for name in names),
        )
        return user_of(row)

    async def erase(self, user_id: UUID, now: datetime) -> None:
        """Leaves nothing of a person but the id, which other records go on naming.

        The address is none that anybody can register or log in with.
        """
        await self._connection.execute(
            "UPDATE users SET name = 'Deleted user', email = 'deleted-' || id || '@invalid',"
            " password_hash = '', is_active = false, email_verified = false, role = 'readonly',"
            " deleted_at = $2, updated_at = $2 WHERE id = $1",
            user_id,
            now,
        )
        await self._connection.execute("DELETE FROM api_keys WHERE user_id = $1", user_id)
        await self._connection.execute(
            "UPDATE sessions SET device = '', address = '' WHERE user_id = $1", user_id
        )

    async def _one(self, user_id: UUID, lock: str) -> User | None:
        row = await self._connection.fetchrow(
            f"SELECT {USER_COLUMNS} FROM users u WHERE u.id = $1 AND u.deleted_at IS NULL{lock}",
            user_id,
        )
        return None if row is None else user_of(row)
