"""Answers kept under idempotency keys."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import orjson

from shared.database import Connection

_LOCK = """
    SELECT pg_try_advisory_xact_lock(
        hashtextextended(concat_ws(' ', 'answer', $1::text, $2::text, $3::text), 0)
    )
"""
_FIND = """
    SELECT fingerprint, status, headers, body FROM idempotent_answers
    WHERE caller_id = $1 AND route = $2 AND key = $3 AND at > $4
"""
_KEEP = """
    INSERT INTO idempotent_answers
        (caller_id, route, key, fingerprint, status, headers, body, at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
    ON CONFLICT (caller_id, route, key) DO UPDATE SET fingerprint = excluded.fingerprint,
        status = excluded.status, headers = excluded.headers, body = excluded.body,
        at = excluded.at
"""
_PURGE = """
    DELETE FROM idempotent_answers WHERE (caller_id, route, key) IN (
        SELECT caller_id, route, key FROM idempotent_answers WHERE at < $1
        ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED
    )
"""


class KeyName(NamedTuple):
    """Who used which key where."""

    caller_id: UUID
    route: str
    key: str


class KeptAnswer(NamedTuple):
    """An answer as it went out, and the digest of the request that it answered."""

    fingerprint: bytes
    status: int
    headers: dict[str, str]
    body: bytes


class AnswerRepository:
    """The kept answers behind one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def try_lock(self, name: KeyName) -> bool:
        """Whether nobody else is at work under this key until our transaction ends."""
        free: bool = await self._connection.fetchval(_LOCK, str(name.caller_id), *name[1:])
        return free

    async def find(self, name: KeyName, newer_than: datetime) -> KeptAnswer | None:
        """The answer kept under this key, if it is newer than that."""
        row = await self._connection.fetchrow(_FIND, *name, newer_than)
        if row is None:
            return None
        fingerprint, status, headers, body = row
        return KeptAnswer(fingerprint, status, orjson.loads(headers), body)

    async def keep(self, name: KeyName, answer: KeptAnswer, at: datetime) -> None:
        """Keeps an answer in place of an expired one."""
        headers = orjson.dumps(answer.headers).decode()
        await self._connection.execute(
            _KEEP, *name, answer.fingerprint, answer.status, headers, answer.body, at
        )

    async def purge(self, before: datetime, limit: int) -> int:
        """Removes at most `limit` answers older than that; returns how many."""
        tag: str = await self._connection.execute(_PURGE, before, limit)
        return int(tag.removeprefix("DELETE "))
