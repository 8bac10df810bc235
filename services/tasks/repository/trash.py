"""Deleted tasks: what is there, back again, and their end."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import asyncpg

from services.tasks.domain import MAX_LEVELS, ExternalIdTaken, Task
from services.tasks.repository.rows import COLUMNS, task_of, tasks_of
from services.tasks.repository.tasks import TaskRepository
from shared.database import Connection

_PURGE = """
    DELETE FROM tasks WHERE id IN (
        SELECT id FROM tasks WHERE deleted_at < $1
        ORDER BY deleted_at LIMIT $2 FOR UPDATE SKIP LOCKED
    )
"""
_PAGE = f"""
    SELECT counted.total, page.* FROM (
        SELECT count(*) AS total FROM tasks WHERE owner_id = $1 AND deleted_at IS NOT NULL
    ) AS counted LEFT JOIN (
        SELECT {COLUMNS}, deleted_at FROM tasks WHERE owner_id = $1 AND deleted_at IS NOT NULL
        ORDER BY deleted_at DESC, id DESC OFFSET $2 LIMIT $3
    ) AS page ON true
    ORDER BY page.deleted_at DESC, page.id DESC
"""
_FIND = f"""
    SELECT {COLUMNS}, deleted_at FROM tasks
    WHERE id = $1 AND owner_id = $2 AND deleted_at IS NOT NULL FOR UPDATE
"""
# What one deletion took with it has its time.
_BELOW = """
    WITH RECURSIVE below AS (
        SELECT id, 1 AS level FROM tasks WHERE id = $1
        UNION ALL
        SELECT tasks.id, below.level + 1 FROM tasks JOIN below ON tasks.parent_id = below.id
        WHERE tasks.deleted_at = $2 AND below.level <= $3
    )
"""
_HEIGHT = f"{_BELOW} SELECT max(level) FROM below"
_RESTORE = f"""
    {_BELOW}, restored AS (
        UPDATE tasks SET deleted_at = NULL, version = version + 1,
            updated_at = greatest(updated_at, $4),
            parent_id = CASE WHEN tasks.id = $1 THEN $5::uuid ELSE tasks.parent_id END
        FROM below WHERE tasks.id = below.id
        RETURNING {", ".join(f"tasks.{name}" for name in Task._fields)}, level
    )
    SELECT * FROM restored ORDER BY level, id
"""


class Trashed(NamedTuple):
    """A task in the trash, and when it came there."""

    task: Task
    deleted_at: datetime


class TrashRepository(TaskRepository):
    """Deleted tasks behind one connection, and the live ones that they go back to."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._connection = connection

    async def page(self, owner_id: UUID, offset: int, limit: int) -> tuple[int, list[Trashed]]:
        """How many tasks the owner has in the trash, and some of them, the latest first."""
        rows = [tuple(row) for row in await self._connection.fetch(_PAGE, owner_id, offset, limit)]
        total: int = rows[0][0]
        if rows[0][1] is None:
            return total, []
        return total, [Trashed(task_of(row[1:-1]), row[-1]) for row in rows]

    async def find_deleted(self, owner_id: UUID, task_id: UUID) -> Trashed | None:
        """The owner's deleted task, kept from being purged until the transaction ends."""
        row = await self._connection.fetchrow(_FIND, task_id, owner_id)
        return None if row is None else Trashed(task_of(tuple(row)[:-1]), row[-1])

    async def deleted_height(self, trashed: Trashed) -> int:
        """How many levels were deleted together with the task, itself included."""
        levels: int = await self._connection.fetchval(
            _HEIGHT, trashed.task.id, trashed.deleted_at, MAX_LEVELS
        )
        return levels

    async def restore(self, trashed: Trashed, parent_id: UUID | None, at: datetime) -> list[Task]:
        """Brings back the task, below `parent_id`, and what was deleted with it; parents first.

        Raises ExternalIdTaken.
        """
        task_id, deleted_at = trashed.task.id, trashed.deleted_at
        try:
            rows = await self._connection.fetch(
                _RESTORE, task_id, deleted_at, MAX_LEVELS, at, parent_id
            )
        except asyncpg.UniqueViolationError as error:
            raise ExternalIdTaken from error
        return tasks_of(tuple(row)[:-1] for row in rows)

    async def purge(self, deleted_before: datetime, limit: int) -> int:
        """Removes at most `limit` of them for good; returns how many. Workers do not collide."""
        tag: str = await self._connection.execute(_PURGE, deleted_before, limit)
        return int(tag.removeprefix("DELETE "))
