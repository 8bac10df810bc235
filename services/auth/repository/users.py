"""Accounts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from services.auth.domain import NewUser, User
from shared.database import Connection
from shared.identity import Role, Tier
from shared.ids import uuid7

_NAMES = (
    "id", "name", "email", "password_hash", "role", "tier", "is_active", "email_verified",
    "mfa_enabled", "epoch", "created_at",
)  # fmt: skip
USER_COLUMNS = ", ".join(f"u.{name}" for name in _NAMES)


def user_of(row: Mapping[str, Any]) -> User:
    """The account in a row that has USER_COLUMNS."""
    values = {name: row[name] for name in _NAMES}
    return User(**values | {"role": Role(row["role"]), "tier": Tier(row["tier"])})


class Users:
    """Reads and writes accounts by one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def by_email(self, email: str) -> User | None:
        """The account of a normal address."""
        row = await self._connection.fetchrow(
            f"SELECT {USER_COLUMNS} FROM users u WHERE u.email = $1", email
        )
        return None if row is None else user_of(row)

    async def of_live_session(self, session_id: UUID, now: datetime) -> User | None:
        """The account whose session this is, when both the session and the account are alive.

        By our clock and by that of the database: neither that went back makes a session live on.
        """
        row = await self._connection.fetchrow(
            f"SELECT {USER_COLUMNS} FROM sessions s JOIN users u ON u.id = s.user_id"
            " WHERE s.id = $1 AND s.ended_at IS NULL AND s.idle_expires_at > greatest($2, now())"
            " AND u.is_active",
            session_id,
            now,
        )
        return None if row is None else user_of(row)

    async def held(self, user_id: UUID) -> User | None:
        """The account, kept as it is by others until the transaction ends."""
        row = await self._connection.fetchrow(
            f"SELECT {USER_COLUMNS} FROM users u WHERE u.id = $1 FOR SHARE", user_id
        )
        return None if row is None else user_of(row)

    async def locked(self, user_id: UUID) -> User | None:
        """The account, ours to change until the transaction ends."""
        row = await self._connection.fetchrow(
            f"SELECT {USER_COLUMNS} FROM users u WHERE u.id = $1 FOR UPDATE", user_id
        )
        return None if row is None else user_of(row)

    async def add(self, new: NewUser, now: datetime) -> User | None:
        """The account made of `new`; None when the address is taken."""
        row = await self._connection.fetchrow(
            "INSERT INTO users AS u (id, name, email, password_hash, password_changed_at, role,"
            " tier, created_at, updated_at) VALUES ($1, $2, $3, $4, $7, $5, $6, $7, $7)"
            # The taken address is written as it was. DO NOTHING would write nothing, and come back
            # sooner by as much as a disk takes, which tells those who register silently.
            " ON CONFLICT (email) DO UPDATE SET email = excluded.email"
            f" RETURNING {USER_COLUMNS}, u.xmax = 0 AS is_new",
            uuid7(),
            new.name,
            new.email,
            new.password_hash,
            new.role.value,
            new.tier.value,
            now,
        )
        user = user_of(row)
        return user if row["is_new"] else None

    async def rename(self, user_id: UUID, name: str, now: datetime) -> User | None:
        """The account under its new name; None when it is gone."""
        row = await self._connection.fetchrow(
            "UPDATE users AS u SET name = $2, updated_at = $3 WHERE u.id = $1"
            f" RETURNING {USER_COLUMNS}",
            user_id,
            name,
            now,
        )
        return None if row is None else user_of(row)

    async def replace_password(
        self, user_id: UUID, old_hash: str, new_hash: str, now: datetime
    ) -> bool:
        """Sets another password; False when `old_hash` is no longer the stored one."""
        changed = await self._connection.fetchval(
            "UPDATE users SET password_hash = $3, password_changed_at = $4, updated_at = $4"
            " WHERE id = $1 AND password_hash = $2 RETURNING id",
            user_id,
            old_hash,
            new_hash,
            now,
        )
        return changed is not None

    async def begin_epoch(self, user_id: UUID, now: datetime) -> int:
        """Makes the tokens that the account has void, once it is published; the new epoch."""
        epoch: int = await self._connection.fetchval(
            "UPDATE users SET epoch = epoch + 1, updated_at = $2 WHERE id = $1 RETURNING epoch",
            user_id,
            now,
        )
        return epoch

    async def upgrade_hash(self, user_id: UUID, old_hash: str, new_hash: str) -> None:
        """Stores the same password with other parameters, unless it was changed meanwhile."""
        await self._connection.execute(
            "UPDATE users SET password_hash = $3 WHERE id = $1 AND password_hash = $2",
            user_id,
            old_hash,
            new_hash,
        )
