"""New tasks of several owners, stored by one statement without waiting for anybody."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from services.tasks.changes import CREATED, Change
from services.tasks.domain import Task
from services.tasks.repository.feed import QUEUE, shown
from services.tasks.repository.rows import COLUMNS
from shared.database import Connection

_COLUMNS_OF_ROW = ", ".join(
    "made.owner" if name == "owner_id" else f"made.{name}" for name in Task._fields
)
# An owner whose turn somebody else has is passed over, and so is one without a feed: whoever stores
# his tasks has to wait, or to begin it. Turns are taken without waiting, so in whichever order.
_CREATE = f"""
    WITH given AS MATERIALIZED (
        SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::int[]) WITH ORDINALITY
            AS given (owner, change_id, task, completed, place)
    ), turns AS MATERIALIZED (
        SELECT owner_id FROM feeds WHERE owner_id = ANY($1) FOR UPDATE SKIP LOCKED
    ), moved AS (
        UPDATE feeds SET sequence = sequence + new.tasks, live = live + new.tasks,
            completed = feeds.completed + new.completed
        FROM (
            SELECT owner, count(*) AS tasks, sum(completed) AS completed
            FROM given JOIN turns ON turns.owner_id = owner GROUP BY owner
        ) AS new
        WHERE owner_id = new.owner RETURNING owner_id, sequence - new.tasks AS before
    ), made AS MATERIALIZED (
        SELECT given.owner, given.change_id, given.task, moved.before
            + row_number() OVER (PARTITION BY given.owner ORDER BY place) AS sequence, row.*
        FROM moved JOIN given ON given.owner = moved.owner_id,
            json_populate_record(NULL::tasks, given.task::json) AS row
    ), added AS (
        INSERT INTO tasks ({COLUMNS}) SELECT {_COLUMNS_OF_ROW} FROM made
    ), recorded AS (
        INSERT INTO changes (owner_id, sequence, id, type, task_id, at, task)
        SELECT owner, sequence, change_id, '{CREATED}', id, updated_at, task::json FROM made
        RETURNING owner_id, sequence, id, type, task_id
    ), queued AS ({QUEUE})
    SELECT owner_id FROM moved
"""


async def create_unhindered(connection: Connection, creations: Sequence[Change]) -> set[UUID]:
    """Stores the tasks of creations and tells the feeds, for owners whose turn is free.

    Returns those owners. It is one transaction, and waits for no writer of tasks. Raises what the
    driver raises; then nothing is stored.
    """
    rows = await connection.fetch(
        _CREATE,
        [creation.task.owner_id for creation in creations],
        [creation.id for creation in creations],
        list(map(shown, creations)),
        [creation.completed for creation in creations],
    )
    return {row[0] for row in rows}
