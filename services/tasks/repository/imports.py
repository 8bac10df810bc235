"""What an import asks of the stored tasks and writes to them."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from services.tasks.changes import Change
from services.tasks.domain import MAX_LEVELS, Task
from services.tasks.repository.feed import record, take_turn
from services.tasks.repository.rows import copy_tasks
from shared.database import Connection

# A task without an external_id goes by its id in an export, so it is known by that name here too.
_KNOWN = """
    SELECT external_id AS name, id FROM tasks
    WHERE owner_id = $1 AND deleted_at IS NULL AND external_id = ANY($2)
    UNION ALL
    SELECT id::text, id FROM tasks
    WHERE owner_id = $1 AND deleted_at IS NULL AND external_id IS NULL AND id = ANY($3)
"""
_LEVELS = """
    WITH RECURSIVE above AS (
        SELECT id AS origin, parent_id, 1 AS level FROM tasks WHERE id = ANY($1)
        UNION ALL
        SELECT above.origin, tasks.parent_id, above.level + 1
        FROM tasks JOIN above ON tasks.id = above.parent_id WHERE above.level <= $2
    )
    SELECT origin, max(level) FROM above GROUP BY origin
"""


# Longer than the door waits for an import; our sessions end after a shorter rest within a
# transaction.
_LONGEST_WAIT = "600s"


class ImportRepository:
    """The owner's tasks as an import sees them, behind one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def take_turn(self, owner_id: UUID) -> None:
        """As `feed.take_turn`."""
        await take_turn(self._connection, owner_id)

    async def wait_long(self) -> None:
        """Lets this transaction rest for as long as an import takes."""
        await self._connection.execute(
            "SELECT set_config('idle_in_transaction_session_timeout', $1, true)", _LONGEST_WAIT
        )

    async def known(self, owner_id: UUID, names: Sequence[str]) -> dict[str, UUID]:
        """The ids of the owner's live tasks that go by these names in files."""
        ids = [found for found in map(_as_uuid, names) if found is not None]
        rows = await self._connection.fetch(_KNOWN, owner_id, names, ids)
        return dict(rows)

    async def levels(self, ids: Sequence[UUID]) -> dict[UUID, int]:
        """On which level each of these tasks is."""
        return dict(await self._connection.fetch(_LEVELS, ids, MAX_LEVELS))

    async def add_all(self, tasks: Sequence[Task]) -> None:
        """Stores new tasks and tells the feed; a parent may come after its children.

        Raises ExternalIdTaken.
        """
        await copy_tasks(self._connection, tasks)
        changes = [Change.of(None, task) for task in tasks]
        await record(self._connection, tasks[0].owner_id, changes)


def _as_uuid(name: str) -> UUID | None:
    """The id that `name` is the canonical text of."""
    try:
        found = UUID(name)
    except ValueError:
        return None
    return found if str(found) == name else None
