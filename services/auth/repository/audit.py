"""The audit log, its chain and its seals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from services.auth.audit.event import AuditRecord, ChainHead, StoredSeal
from shared.database import Connection

_NAMES = tuple(one.name for one in fields(AuditRecord))
_COLUMNS = ", ".join(_NAMES)
_PLACES = ", ".join(f"${place}" for place in range(1, len(_NAMES) + 1))
# What a page of events may be narrowed by.
FILTERS = ("event", "outcome", "user_id", "actor_id")
# A count goes no further, so that no look at a large log takes long.
MOST_COUNTED = 10_000


class Audit:
    """Reads and writes the log by one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def append(self, record: AuditRecord) -> None:
        """Adds a row, not linked yet."""
        await self._connection.execute(
            f"INSERT INTO audit_events ({_COLUMNS}) VALUES ({_PLACES})", *astuple(record)
        )

    async def page(
        self,
        filters: Mapping[str, Any],
        *,
        since: datetime | None,
        until: datetime | None,
        offset: int,
        limit: int,
    ) -> tuple[list[AuditRecord], int]:
        """Events, the latest first, and how many there are, counted up to MOST_COUNTED."""
        conditions, values = ["true"], []
        given = {f"{name} =": filters[name] for name in FILTERS if name in filters}
        given |= {"at >=": since, "at <": until}
        for condition, value in given.items():
            if value is not None:
                values.append(value)
                conditions.append(f"{condition} ${len(values)}")
        where = " AND ".join(conditions)
        total: int = await self._connection.fetchval(
            f"SELECT count(*) FROM (SELECT 1 FROM audit_events WHERE {where}"
            f" LIMIT {MOST_COUNTED}) AS counted",
            *values,
        )
        rows = await self._connection.fetch(
            f"SELECT {_COLUMNS} FROM audit_events WHERE {where} ORDER BY at DESC, id DESC"
            f" OFFSET ${len(values) + 1} LIMIT ${len(values) + 2}",
            *values,
            offset,
            limit,
        )
        return [AuditRecord(*row) for row in rows], total

    async def head(self) -> ChainHead:
        """Where the chain ends."""
        row = await self._connection.fetchrow("SELECT sequence, hash, purged_until FROM audit_head")
        return ChainHead(*row)

    async def take_head(self) -> ChainHead | None:
        """As `head`, ours until the transaction ends; None while another replica has it."""
        row = await self._connection.fetchrow(
            "SELECT sequence, hash, purged_until FROM audit_head FOR UPDATE SKIP LOCKED"
        )
        return None if row is None else ChainHead(*row)

    async def unlinked(self, limit: int) -> list[AuditRecord]:
        """Rows that have committed and are not linked yet, the earliest first."""
        rows = await self._connection.fetch(
            f"SELECT {_COLUMNS} FROM audit_events WHERE sequence IS NULL ORDER BY id LIMIT $1",
            limit,
        )
        return [AuditRecord(*row) for row in rows]

    async def oldest_unlinked(self) -> datetime | None:
        """When the earliest row that is not linked yet was written."""
        found: datetime | None = await self._connection.fetchval(
            "SELECT at FROM audit_events WHERE sequence IS NULL ORDER BY id LIMIT 1"
        )
        return found

    async def link(self, links: Sequence[tuple[UUID, int, bytes]]) -> None:
        """Gives rows their sequence and hash, and moves the head, which we hold, to the last."""
        ids, sequences, hashes = zip(*links, strict=True)
        await self._connection.execute(
            "UPDATE audit_events SET sequence = given.sequence, hash = given.hash"
            " FROM unnest($1::uuid[], $2::bigint[], $3::bytea[]) AS given (id, sequence, hash)"
            " WHERE audit_events.id = given.id",
            ids,
            sequences,
            hashes,
        )
        await self._connection.execute(
            "UPDATE audit_head SET sequence = $1, hash = $2", sequences[-1], hashes[-1]
        )

    async def linked_after(self, sequence: int, limit: int) -> list[AuditRecord]:
        """Rows of the chain that follow, in its order."""
        rows = await self._connection.fetch(
            f"SELECT {_COLUMNS} FROM audit_events WHERE sequence > $1 ORDER BY sequence LIMIT $2",
            sequence,
            limit,
        )
        return [AuditRecord(*row) for row in rows]

    async def add_seal(self, seal: StoredSeal, kid: str, public_key: bytes) -> None:
        """Keeps a seal, and what it is checked with."""
        await self._connection.execute(
            "INSERT INTO audit_seal_keys (kid, public_key, first_used_at) VALUES ($1, $2, $3)"
            " ON CONFLICT DO NOTHING",
            kid,
            public_key,
            seal.at,
        )
        await self._connection.execute(
            "INSERT INTO audit_seals (sequence, token, at) VALUES ($1, $2, $3)",
            seal.sequence,
            seal.token,
            seal.at,
        )

    async def last_seal(self, *, before: datetime | None = None) -> StoredSeal | None:
        """The latest seal, or the latest from before that time."""
        row = await self._connection.fetchrow(
            "SELECT sequence, token, at FROM audit_seals WHERE $1::timestamptz IS NULL OR at < $1"
            " ORDER BY sequence DESC LIMIT 1",
            before,
        )
        return None if row is None else StoredSeal(*row)

    async def seals_from(self, sequence: int, limit: int) -> list[StoredSeal]:
        """The seals of that row and of those that follow, in order."""
        rows = await self._connection.fetch(
            "SELECT sequence, token, at FROM audit_seals WHERE sequence >= $1"
            " ORDER BY sequence LIMIT $2",
            sequence,
            limit,
        )
        return [StoredSeal(*row) for row in rows]

    async def seal_keys(self) -> dict[str, bytes]:
        """The public keys of seals, in DER, by key id."""
        rows = await self._connection.fetch("SELECT kid, public_key FROM audit_seal_keys")
        return {row["kid"]: row["public_key"] for row in rows}

    async def begin_purge(self, until: int) -> None:
        """Gives up the rows up to `until`; the head must be ours."""
        await self._connection.execute("UPDATE audit_head SET purged_until = $1", until)

    async def purge_seals(self, limit: int) -> int:
        """Removes at most `limit` seals of rows that were given up; returns how many.

        That of the last such row stays: the rest of the chain begins with it.
        """
        tag: str = await self._connection.execute(
            "DELETE FROM audit_seals WHERE sequence = ANY (ARRAY(SELECT sequence FROM audit_seals"
            " WHERE sequence < (SELECT purged_until FROM audit_head) ORDER BY sequence LIMIT $1"
            " FOR UPDATE SKIP LOCKED))",
            limit,
        )
        return int(tag.removeprefix("DELETE "))

    async def purge(self, limit: int) -> int:
        """Removes at most `limit` rows that were given up, the earliest first; returns how many."""
        tag: str = await self._connection.execute(
            "DELETE FROM audit_events WHERE sequence = ANY (ARRAY(SELECT sequence"
            " FROM audit_events WHERE sequence <= (SELECT purged_until FROM audit_head)"
            " ORDER BY sequence LIMIT $1 FOR UPDATE SKIP LOCKED))",
            limit,
        )
        return int(tag.removeprefix("DELETE "))

    async def erase_origins(self, user_id: UUID, limit: int) -> int:
        """Erases address and device from at most `limit` rows of a person; returns how many.

        His are those in which he acted, and those about him in which nobody known did.
        """
        tag: str = await self._connection.execute(
            "UPDATE audit_events SET address = NULL, device = NULL, origin_salt = NULL"
            " WHERE id IN (SELECT id FROM audit_events WHERE coalesce(actor_id, user_id) = $1"
            " AND origin_salt IS NOT NULL LIMIT $2)",
            user_id,
            limit,
        )
        return int(tag.removeprefix("UPDATE "))
