"""Single tasks: read, written, locked, and the tree that they form."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import asyncpg

from services.tasks.changes import CREATED, Change
from services.tasks.domain import MAX_LEVELS, ExternalIdTaken, Task
from services.tasks.repository.creations import create_unhindered
from services.tasks.repository.feed import QUEUE, record, shown, take_turn
from services.tasks.repository.rows import COLUMNS, copy_tasks, task_of, tasks_of
from shared.database import Connection

_FIND = f"SELECT {COLUMNS} FROM tasks WHERE id = $1 AND owner_id = $2 AND deleted_at IS NULL"
_LIVE = f"SELECT {COLUMNS} FROM tasks WHERE id = ANY($1) AND deleted_at IS NULL"
_NAMED = f"""
    SELECT {COLUMNS} FROM tasks
    WHERE owner_id = $1 AND external_id = ANY($2) AND deleted_at IS NULL
"""
_COLUMNS_OF_ROW = ", ".join(
    "$1" if name == "owner_id" else f"given.{name}" for name in Task._fields
)
# One statement, so one round trip and no transaction around it. The tasks are made from the row of
# the feed, so the owner's turn is taken before anything that could wait for another writer. They
# come as the feed shows them: what it keeps is what is stored.
_CREATE = f"""
    WITH feed AS (
        INSERT INTO feeds (owner_id, sequence, live, completed) VALUES ($1, $2, $2, $3)
        ON CONFLICT (owner_id) DO UPDATE SET sequence = feeds.sequence + excluded.sequence,
            live = feeds.live + excluded.live, completed = feeds.completed + excluded.completed
        RETURNING sequence - $2 AS before
    ), given AS MATERIALIZED (
        SELECT feed.before + shown.place AS sequence, shown.task, ids.id AS change_id, made.*
        FROM feed, json_array_elements($4::text::json) WITH ORDINALITY AS shown (task, place)
        JOIN unnest($5::uuid[]) WITH ORDINALITY AS ids (id, place) USING (place),
        json_populate_record(NULL::tasks, shown.task) AS made
    ), added AS (
        INSERT INTO tasks ({COLUMNS}) SELECT {_COLUMNS_OF_ROW} FROM given
    ), recorded AS (
        INSERT INTO changes (owner_id, sequence, id, type, task_id, at, task)
        SELECT $1, sequence, change_id, '{CREATED}', id, updated_at, task FROM given
        RETURNING owner_id, sequence, id, type, task_id
    )
    {QUEUE}
"""

# Ids of a task and everything above it. The bound ends the walk even on a tree that is no tree.
_ANCESTORS = """
    WITH RECURSIVE above AS (
        SELECT id, parent_id, 1 AS level FROM tasks WHERE id = $1
        UNION ALL
        SELECT tasks.id, tasks.parent_id, above.level + 1
        FROM tasks JOIN above ON tasks.id = above.parent_id WHERE above.level <= $2
    )
    SELECT id FROM above ORDER BY level
"""
_HEIGHT = """
    WITH RECURSIVE below AS (
        SELECT id, 1 AS level FROM tasks WHERE id = $1
        UNION ALL
        SELECT tasks.id, below.level + 1
        FROM tasks JOIN below ON tasks.parent_id = below.id
        WHERE tasks.deleted_at IS NULL AND below.level <= $2
    )
    SELECT max(level) FROM below
"""
_DELETE = f"""
    WITH RECURSIVE below AS (
        SELECT id, 1 AS level FROM tasks WHERE id = $1
        UNION ALL
        SELECT tasks.id, below.level + 1
        FROM tasks JOIN below ON tasks.parent_id = below.id
        WHERE tasks.deleted_at IS NULL AND below.level <= $3
    ), gone AS (
        UPDATE tasks SET deleted_at = $2, updated_at = greatest(updated_at, $2),
            version = version + 1
        FROM below WHERE tasks.id = below.id
        RETURNING {", ".join(f"tasks.{name}" for name in Task._fields)}, level
    )
    SELECT * FROM gone ORDER BY level, id
"""


class TaskRepository:
    """The tasks behind one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def find(self, owner_id: UUID, task_id: UUID) -> Task | None:
        """The owner's live task, or None."""
        row = await self._connection.fetchrow(_FIND, task_id, owner_id)
        return None if row is None else task_of(row)

    async def live(self, ids: Sequence[UUID]) -> dict[UUID, Task]:
        """The live tasks of these ids, whosever they are."""
        found = tasks_of(await self._connection.fetch(_LIVE, ids))
        return {task.id: task for task in found}

    async def take_turn(self, owner_id: UUID) -> None:
        """As `feed.take_turn`."""
        await take_turn(self._connection, owner_id)

    async def record(self, owner_id: UUID, changes: Sequence[Change]) -> None:
        """As `feed.record`."""
        await record(self._connection, owner_id, changes)

    async def create(self, owner_id: UUID, creations: Sequence[Change]) -> None:
        """Stores the tasks of creations and tells the feed, in a transaction of its own or not.

        All of them or none. Raises ExternalIdTaken.
        """
        completed = sum(creation.completed for creation in creations)
        tasks = f"[{','.join(map(shown, creations))}]"
        ids = [creation.id for creation in creations]
        try:
            await self._connection.execute(_CREATE, owner_id, len(ids), completed, tasks, ids)
        except asyncpg.UniqueViolationError as error:
            raise ExternalIdTaken from error

    async def create_unhindered(self, creations: Sequence[Change]) -> set[UUID]:
        """As `creations.create_unhindered`. Raises ExternalIdTaken."""
        try:
            return await create_unhindered(self._connection, creations)
        except asyncpg.UniqueViolationError as error:
            raise ExternalIdTaken from error

    async def add_all(self, tasks: Sequence[Task]) -> None:
        """Stores new tasks in one statement: all of them or none. Raises ExternalIdTaken."""
        await copy_tasks(self._connection, tasks)

    async def save(self, before: Task, after: Task) -> None:
        """Writes the columns in which `after` differs. Raises ExternalIdTaken."""
        pairs = zip(Task._fields, before, after, strict=True)
        changed = [(name, new) for name, old, new in pairs if old != new]
        assignments = ", ".join(f"{name} = ${at}" for at, (name, _) in enumerate(changed, 2))
        values = [value for _, value in changed]
        try:
            await self._connection.execute(
                f"UPDATE tasks SET {assignments} WHERE id = $1", before.id, *values
            )
        except asyncpg.UniqueViolationError as error:
            raise ExternalIdTaken from error

    async def ancestors(self, task_id: UUID) -> list[UUID]:
        """The task's id and those of all above it, at most one more than tasks may nest."""
        rows = await self._connection.fetch(_ANCESTORS, task_id, MAX_LEVELS)
        return [row[0] for row in rows]

    async def branch(self, owner_id: UUID, task_id: UUID) -> list[UUID]:
        """As `ancestors`; empty when the owner has no such live task."""
        if await self.find(owner_id, task_id) is None:
            return []
        return await self.ancestors(task_id)

    async def named(self, owner_id: UUID, names: Sequence[str | None]) -> dict[str, Task]:
        """The owner's live tasks by these external_ids."""
        found = [name for name in names if name is not None]
        if not found:
            return {}
        rows = await self._connection.fetch(_NAMED, owner_id, found)
        return {row["external_id"]: task_of(row) for row in rows}

    async def height(self, task_id: UUID) -> int:
        """How many levels the live tree from this task downwards has, itself included."""
        levels: int = await self._connection.fetchval(_HEIGHT, task_id, MAX_LEVELS)
        return levels

    async def delete(self, task_id: UUID, at: datetime) -> list[Task]:
        """Puts a task and all live tasks below it into the trash, and returns them as they are
        there, parents before children."""
        rows = await self._connection.fetch(_DELETE, task_id, at, MAX_LEVELS)
        return tasks_of(row[:-1] for row in map(tuple, rows))
