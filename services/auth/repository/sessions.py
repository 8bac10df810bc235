"""Sessions, one row per login; a row outlives its session until the purge."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from services.auth.domain import Ending, OpenSession, Origin, Session, SessionLife, User
from services.auth.repository.users import USER_COLUMNS, user_of
from shared.database import Connection
from shared.ids import uuid7

_COLUMNS = "id, user_id, refresh_counter, idle_expires_at, expires_at, ended_at"


class Sessions:
    """Reads and writes sessions by one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def open(
        self, user_id: UUID, life: SessionLife, origin: Origin, now: datetime
    ) -> Session:
        """A session that begins at `now`."""
        expires_at = now + life.absolute
        row = await self._connection.fetchrow(
            "INSERT INTO sessions (id, user_id, created_at, used_at, idle_expires_at, expires_at,"
            " device, address)"
            f" VALUES ($1, $2, $3, $3, $4, $5, $6, $7) RETURNING {_COLUMNS}",
            uuid7(),
            user_id,
            now,
            life.idle_end(now, expires_at),
            expires_at,
            origin.device,
            origin.address,
        )
        return Session(**dict(row))

    async def locked(self, session_id: UUID, now: datetime) -> tuple[Session, User, bool] | None:
        """The session, its owner and whether it is alive, by our clock and by the database's.

        Others that want to change the session wait for us.

        The owner is not locked: whoever changes an account in a way that matters here ends its
        sessions too, and so waits for this one.
        """
        row = await self._connection.fetchrow(
            "SELECT s.user_id, s.refresh_counter, s.idle_expires_at, s.expires_at, s.ended_at,"
            " s.ended_at IS NULL AND least(s.idle_expires_at, s.expires_at) > greatest($2, now())"
            f" AS is_alive, {USER_COLUMNS} FROM sessions s JOIN users u ON u.id = s.user_id"
            " WHERE s.id = $1 FOR UPDATE OF s",
            session_id,
            now,
        )
        if row is None:
            return None
        session = Session(
            id=session_id,
            user_id=row["user_id"],
            refresh_counter=row["refresh_counter"],
            idle_expires_at=row["idle_expires_at"],
            expires_at=row["expires_at"],
            ended_at=row["ended_at"],
        )
        return session, user_of(row), row["is_alive"]

    async def rotate(self, session: Session, life: SessionLife, now: datetime) -> Session:
        """Counts a refresh: earlier tokens are behind, and the idle time begins again.

        A replica whose clock is behind does not bring the end nearer.
        """
        row = await self._connection.fetchrow(
            "UPDATE sessions SET refresh_counter = refresh_counter + 1,"
            " used_at = greatest(used_at, $2),"
            " idle_expires_at = least(expires_at, greatest(idle_expires_at, $3))"
            f" WHERE id = $1 RETURNING {_COLUMNS}",
            session.id,
            now,
            life.idle_end(now, session.expires_at),
        )
        return Session(**dict(row))

    async def alive_of(
        self, user_id: UUID, current: UUID, now: datetime, limit: int
    ) -> list[OpenSession]:
        """The sessions of an account that are alive, the one used last first."""
        rows = await self._connection.fetch(
            "SELECT id, device, address, created_at, used_at AS last_seen_at, expires_at,"
            " id = $2 AS current FROM sessions WHERE user_id = $1 AND ended_at IS NULL"
            " AND idle_expires_at > $3 ORDER BY used_at DESC, id DESC LIMIT $4",
            user_id,
            current,
            now,
            limit,
        )
        return [OpenSession(**dict(row)) for row in rows]

    async def end_own(
        self, user_id: UUID, session_id: UUID, because: Ending, now: datetime
    ) -> bool:
        """Ends a session of an account; False when it has none such that is alive."""
        ended = await self._connection.fetchval(
            "UPDATE sessions SET ended_at = $3, ended_because = $4 WHERE id = $1 AND user_id = $2"
            " AND ended_at IS NULL AND idle_expires_at > $3 RETURNING id",
            session_id,
            user_id,
            now,
            because.value,
        )
        return ended is not None

    async def end(self, session_id: UUID, because: Ending, now: datetime) -> None:
        """Ends one session; one that has ended stays as it was."""
        await self._connection.execute(
            "UPDATE sessions SET ended_at = $2, ended_because = $3"
            " WHERE id = $1 AND ended_at IS NULL",
            session_id,
            now,
            because.value,
        )

    async def end_all(
        self, user_id: UUID, because: Ending, now: datetime, *, except_for: UUID | None = None
    ) -> list[UUID]:
        """Ends every session of an account, save one if asked; returns which.

        The rows are taken in one order, so that two of these at once do not deadlock.
        """
        rows = await self._connection.fetch(
            "UPDATE sessions SET ended_at = $2, ended_because = $3 WHERE id IN (SELECT id"
            " FROM sessions WHERE user_id = $1 AND ended_at IS NULL AND id IS DISTINCT FROM $4"
            " ORDER BY id FOR UPDATE) RETURNING id",
            user_id,
            now,
            because.value,
            except_for,
        )
        return [row["id"] for row in rows]

    async def purge(self, now: datetime, limit: int) -> int:
        """Removes at most `limit` rows whose refresh token is past its time; returns how many."""
        rows = await self._connection.fetch(
            "DELETE FROM sessions WHERE id = ANY (ARRAY(SELECT id FROM sessions"
            " WHERE idle_expires_at < $1 ORDER BY idle_expires_at LIMIT $2 FOR UPDATE SKIP LOCKED))"
            " RETURNING 1",
            now,
            limit,
        )
        return len(rows)
