"""The keys that auth made for itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from shared.database import Connection


@dataclass(frozen=True, slots=True)
class StoredSigningKey:
    """A signing key as PKCS 8 in DER. `state` is next, active or retired; all are published."""

    kid: str
    state: str
    private_key: bytes
    created_at: datetime


class Keys:
    """Reads and writes keys by one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def signing(self) -> list[StoredSigningKey]:
        """Every signing key, the oldest first."""
        rows = await self._connection.fetch(
            "SELECT kid, state, private_key, created_at FROM signing_keys ORDER BY created_at, kid"
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

    async def sealing(self) -> dict[str, bytes]:
        """The symmetric keys by purpose."""
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
