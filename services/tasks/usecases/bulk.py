"""Many tasks in one request: each on its own, or all or nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from services.tasks.changes import Change
from services.tasks.domain import (
    MAX_LEVELS,
    ExternalIdTaken,
    ParentRefused,
    Task,
    new_task,
)
from services.tasks.repository.tasks import TaskRepository
from shared.clock import utc_now
from shared.database import Store
from shared.errors import ApiError

# What makes two tasks with one external_id the same task.
_CONTENT = ("title", "description", "priority", "due_date", "completed", "labels", "parent_id")

Item = Mapping[str, Any] | ApiError


class Result(NamedTuple):
    """What became of one item: a task that was created, one that was there, or an error."""

    status: int
    task: Task | None
    error: ApiError | None


async def create_many(
    tasks: Store[TaskRepository],
    owner_id: UUID,
    items: Sequence[Item],
    *,
    atomic: bool,
    dry_run: bool,
) -> list[Result]:
    """Creates a task of each item that is no error, in their order, in one transaction.

    An item whose external_id is that of a live task with the same content stands for that task. A
    dry run creates nothing, and `atomic` nothing as soon as one item is refused.
    """
    if not items:
        return []
    async with tasks.begin() as repository:
        await repository.take_turn(owner_id)
        results = await _decide(repository, owner_id, items)
        made = [one.task for one in results if one.status == 201 and one.task is not None]
        refused = any(one.error is not None for one in results)
        if made and not dry_run and not (atomic and refused):
            await repository.add_all(made)
            await repository.record(owner_id, [Change.of(None, task) for task in made])
    return results


async def _decide(
    repository: TaskRepository, owner_id: UUID, items: Sequence[Item]
) -> list[Result]:
    now = utc_now()
    good = [item for item in items if not isinstance(item, ApiError)]
    named = await repository.named(owner_id, [one["external_id"] for one in good])
    levels: dict[UUID, int] = {}
    results: list[Result] = []
    for item in items:
        if isinstance(item, ApiError):
            results.append(Result(item.status, None, item))
            continue
        task = new_task(owner_id, item, now)
        other = named.get(task.external_id) if task.external_id is not None else None
        if other is not None:
            results.append(_again(task, other))
            continue
        if task.parent_id is not None and task.parent_id not in levels:
            levels[task.parent_id] = len(await repository.branch(owner_id, task.parent_id))
        error = _parent_error(levels, task.parent_id)
        if error is not None:
            results.append(Result(error.status, None, error))
            continue
        if task.external_id is not None:
            named[task.external_id] = task
        results.append(Result(201, task, None))
    return results


def _again(task: Task, other: Task) -> Result:
    if all(getattr(task, field) == getattr(other, field) for field in _CONTENT):
        return Result(200, other, None)
    error = ExternalIdTaken()
    return Result(error.status, None, error)


def _parent_error(levels: Mapping[UUID, int], parent_id: UUID | None) -> ParentRefused | None:
    if parent_id is None:
        return None
    if levels[parent_id] == 0:
        return ParentRefused(ParentRefused.MISSING)
    return ParentRefused(ParentRefused.TOO_DEEP) if levels[parent_id] >= MAX_LEVELS else None
