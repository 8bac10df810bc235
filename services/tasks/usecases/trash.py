"""What is in the trash, and the way out of it."""

from __future__ import annotations

from uuid import UUID

from services.tasks.changes import Change
from services.tasks.domain import MAX_LEVELS, ParentRefused, Task, TaskChanged, TaskNotFound
from services.tasks.repository.trash import Trashed, TrashRepository
from services.tasks.usecases.tasks import Expectation, whatever
from shared.clock import utc_now
from shared.database import Store

Trash = Store[TrashRepository]


async def list_trash(
    trash: Trash, owner_id: UUID, *, offset: int, limit: int
) -> tuple[int, list[Trashed]]:
    """How many tasks the owner has in the trash, and a part of them, the latest first."""
    async with trash.read() as repository:
        return await repository.page(owner_id, offset, limit)


async def restore_task(
    trash: Trash, owner_id: UUID, task_id: UUID, expected: Expectation = whatever
) -> Task:
    """Brings a task back, with all that went into the trash together with it.

    A task whose parent is gone comes back on the first level, and one that is not in the trash
    stays as it is. Raises TaskNotFound, TaskChanged, ParentRefused and ExternalIdTaken.
    """
    async with trash.begin() as repository:
        await repository.take_turn(owner_id)
        trashed = await repository.find_deleted(owner_id, task_id)
        task = trashed.task if trashed else await repository.find(owner_id, task_id)
        if task is None:
            raise TaskNotFound
        if not expected(task.etag):
            raise TaskChanged(task.etag)
        if trashed is None:
            return task
        parent_id = await _parent(repository, owner_id, trashed)
        restored = await repository.restore(trashed, parent_id, utc_now())
        await repository.record(owner_id, [Change.restoration(one) for one in restored])
    return restored[0]


async def _parent(repository: TrashRepository, owner_id: UUID, trashed: Trashed) -> UUID | None:
    parent_id = trashed.task.parent_id
    if parent_id is None:
        return None
    above = await repository.branch(owner_id, parent_id)
    if not above:
        return None
    if len(above) + await repository.deleted_height(trashed) > MAX_LEVELS:
        raise ParentRefused(ParentRefused.TOO_DEEP)
    return parent_id
