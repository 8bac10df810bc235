"""The keys that auth made for itself. Their times are the server's own: replicas' clocks differ."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.database import Connection


@dataclass(frozen=True, slots=True)
class StoredSigningKey:
    """A signing key as PKCS 8 in DER, sealed. `state` is next, active or retired.

    All are published. `state_since` is when it got into its state.
    """

    kid: str
    state: str
    private_key: bytes
    created_at: datetime
    state_since: datetime


class Keys:
    """Reads and writes keys by one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def signing(self) -> list[StoredSigningKey]:
        """Every signing key, the oldest first."""
        rows = await self._connection.fetch(
            "SELECT kid, state, private_key, created_at, state_since FROM signing_keys"
            " ORDER BY created_at, kid"
        )
        return [StoredSigningKey(*row) for row in rows]

    async def add_active(self, kid: str, private_key: bytes, now: datetime) -> None:
        """Makes this the signing key, unless there is an active one: the first replica wins."""
        await self._connection.execute(
            "INSERT INTO signing_keys (kid, private_key, state, created_at)"
            " VALUES ($1, $2, 'active', $3) ON CONFLICT DO NOTHING",
            kid,
            private_key,
            now,
        )

    async def take_turn(self) -> None:
        """Makes those who rotate keys take turns until the transaction ends."""
        await self._connection.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended('signing_keys', 0))"
        )

    async def next_is_due(self, age: timedelta) -> bool:
        """Whether the active key has signed for `age` and none is published to follow it."""
        due: bool = await self._connection.fetchval(
            "SELECT EXISTS (SELECT 1 FROM signing_keys WHERE state = 'active'"
            " AND state_since <= now() - $1::interval)"
            " AND NOT EXISTS (SELECT 1 FROM signing_keys WHERE state = 'next')",
            age,
        )
        return due

    async def add_next(self, kid: str, private_key: bytes) -> bool:
        """Publishes the key that is to sign after the active one; False when there is one."""
        added = await self._connection.fetchval(
            "INSERT INTO signing_keys (kid, private_key, state, created_at)"
            " VALUES ($1, $2, 'next', now()) ON CONFLICT DO NOTHING RETURNING kid",
            kid,
            private_key,
        )
        return added is not None

    async def promote(self, published_for: timedelta) -> str | None:
        """Signs with the next key if it was published that long ago; the active one retires."""
        kid: str | None = await self._connection.fetchval(
            "SELECT kid FROM signing_keys WHERE state = 'next'"
            " AND state_since <= now() - $1::interval",
            published_for,
        )
        if kid is not None:
            await self._connection.execute(
                "UPDATE signing_keys SET state = 'retired', state_since = now()"
                " WHERE state = 'active'"
            )
            await self._connection.execute(
                "UPDATE signing_keys SET state = 'active', state_since = now() WHERE kid = $1", kid
            )
        return kid

    async def drop_retired(self, retired_for: timedelta) -> list[str]:
        """Removes the keys that retired that long ago; their ids."""
        rows = await self._connection.fetch(
            "DELETE FROM signing_keys WHERE state = 'retired'"
            " AND state_since < now() - $1::interval RETURNING kid",
            retired_for,
        )
        return [row["kid"] for row in rows]

    async def remove(self, kid: str) -> str | None:
        """Removes a key at once; the state that it was in, None when there is none such."""
        state: str | None = await self._connection.fetchval(
            "DELETE FROM signing_keys WHERE kid = $1 RETURNING state", kid
        )
        return state

    async def save_signing(self, kid: str, private_key: bytes) -> None:
        """Stores the same key, sealed anew."""
        await self._connection.execute(
            "UPDATE signing_keys SET private_key = $2 WHERE kid = $1", kid, private_key
        )

    async def save_sealing(self, purpose: str, key: bytes) -> None:
        """Stores the same key, sealed anew."""
        await self._connection.execute(
            "UPDATE sealing_keys SET key = $2 WHERE purpose = $1", purpose, key
        )

    async def sealing(self) -> dict[str, bytes]:
        """The symmetric keys by purpose, sealed."""
        rows = await self._connection.fetch("SELECT purpose, key FROM sealing_keys")
        return {row["purpose"]: row["key"] for row in rows}

    async def add_sealing(self, purpose: str, key: bytes, now: datetime) -> None:
        """Keeps a symmetric key, unless there is one for that purpose."""
        await self._connection.execute(
            "INSERT INTO sealing_keys (purpose, key, created_at) VALUES ($1, $2, $3)"
            " ON CONFLICT DO NOTHING",
            purpose,
            key,
            now,
        )
