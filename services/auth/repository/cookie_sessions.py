"""Sessions that a browser is known by: found by the hash of their cookie."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from services.auth.domain import Origin, Session, SessionLife, User
from services.auth.repository.users import USER_COLUMNS, user_of
from shared.database import Connection
from shared.ids import uuid7

_COLUMNS = "id, user_id, refresh_counter, idle_expires_at, expires_at, ended_at"
_ALIVE = "cookie_hash IS NOT NULL AND ended_at IS NULL AND idle_expires_at > greatest($2, now())"


class CookieSessions:
    """Reads and writes them by one connection; they end and are listed as all sessions are."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def open(
        self, user_id: UUID, cookie_hash: bytes, life: SessionLife, origin: Origin, now: datetime
    ) -> Session:
        """A session that begins at `now`."""
        expires_at = now + life.absolute
        row = await self._connection.fetchrow(
            "INSERT INTO sessions (id, user_id, created_at, used_at, idle_expires_at, expires_at,"
            " device, address, cookie_hash)"
            f" VALUES ($1, $2, $3, $3, $4, $5, $6, $7, $8) RETURNING {_COLUMNS}",
            uuid7(),
            user_id,
            now,
            life.idle_end(now, expires_at),
            expires_at,
            origin.device,
            origin.address,
            cookie_hash,
        )
        return _session_of(row)

    async def by_cookie(self, cookie_hash: bytes, now: datetime) -> tuple[Session, User] | None:
        """The session of a cookie with its owner, when both are alive, by each of two clocks."""
        row = await self._connection.fetchrow(
            "SELECT s.id AS session_id, s.user_id, s.refresh_counter, s.idle_expires_at,"
            f" s.expires_at, s.ended_at, {USER_COLUMNS}"
            " FROM sessions s JOIN users u ON u.id = s.user_id"
            " WHERE s.cookie_hash = $1 AND s.ended_at IS NULL"
            " AND s.idle_expires_at > greatest($2, now()) AND u.is_active",
            cookie_hash,
            now,
        )
        if row is None:
            return None
        return _session_of({**row, "id": row["session_id"]}), user_of(row)

    async def alive(self, session_id: UUID, now: datetime) -> Session | None:
        """The cookie session with this id; None when it is none, or has ended."""
        row = await self._connection.fetchrow(
            f"SELECT {_COLUMNS} FROM sessions WHERE id = $1 AND {_ALIVE}", session_id, now
        )
        return None if row is None else _session_of(row)

    async def touch(
        self, session: Session, life: SessionLife, now: datetime, at_most_every: timedelta
    ) -> Session:
        """Begins the idle time again; not oftener than asked, so that use costs no write."""
        row = await self._connection.fetchrow(
            "UPDATE sessions SET used_at = $2,"
            " idle_expires_at = least(expires_at, greatest(idle_expires_at, $3))"
            f" WHERE id = $1 AND ended_at IS NULL AND used_at <= $4 RETURNING {_COLUMNS}",
            session.id,
            now,
            life.idle_end(now, session.expires_at),
            now - at_most_every,
        )
        return session if row is None else _session_of(row)


def _session_of(row: Mapping[str, Any]) -> Session:
    return Session(
        id=row["id"],
        user_id=row["user_id"],
        refresh_counter=row["refresh_counter"],
        idle_expires_at=row["idle_expires_at"],
        expires_at=row["expires_at"],
        ended_at=row["ended_at"],
    )
