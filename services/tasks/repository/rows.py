"""Between rows and tasks. The fields of a Task are the columns, in the same order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import asyncpg

from services.tasks.domain import ExternalIdTaken, Task
from shared.database import Connection

COLUMNS = ", ".join(Task._fields)


def task_of(row: Any) -> Task:
    """The task in a row of `COLUMNS`."""
    return Task._make(row)


def tasks_of(rows: Iterable[Any]) -> list[Task]:
    """The tasks in rows of `COLUMNS`."""
    return [Task._make(row) for row in rows]


async def copy_tasks(connection: Connection, tasks: Sequence[Task]) -> None:
    """Stores new tasks by COPY, all of them or none. Raises ExternalIdTaken."""
    try:
        await connection.copy_records_to_table("tasks", records=tasks, columns=Task._fields)
    except asyncpg.UniqueViolationError as error:
        raise ExternalIdTaken from error
