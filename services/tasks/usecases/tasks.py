"""Create, read, change and delete single tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from services.tasks.changes import Change
from services.tasks.domain import (
    MAX_LEVELS,
    ParentRefused,
    Task,
    TaskChanged,
    TaskNotFound,
    new_task,
)
from services.tasks.repository.tasks import TaskRepository
from services.tasks.usecases.creations import Creations
from shared.batches import Batches
from shared.clock import utc_now
from shared.database import Store

Tasks = Store[TaskRepository]
Finder = Batches[UUID, Task]

# Whether a task is in the state that the caller expects; it is given the present entity tag.
Expectation = Callable[[str], bool]


def whatever(_etag: str) -> bool:
    """The expectation of a caller that has none."""
    return True


async def create_task(
    tasks: Tasks, creations: Creations, owner_id: UUID, fields: Mapping[str, Any]
) -> Task:
    """Raises ParentRefused and ExternalIdTaken."""
    task = new_task(owner_id, fields, utc_now())
    creation = Change.of(None, task)
    if task.parent_id is None and not tasks.is_joined:
        await creations.add(creation)
        return task
    async with tasks.begin() as repository:
        if task.parent_id is not None:
            await repository.take_turn(owner_id)
            if len(await _branch(repository, owner_id, task.parent_id)) >= MAX_LEVELS:
                raise ParentRefused(ParentRefused.TOO_DEEP)
        await repository.create(owner_id, [creation])
    return task


async def create_tasks(
    tasks: Tasks, owner_id: UUID, several: Sequence[Mapping[str, Any]]
) -> list[Task]:
    """Creates top-level tasks, all of them or none."""
    now = utc_now()
    made = [new_task(owner_id, fields, now) for fields in several]
    if made:
        async with tasks.begin() as repository:
            await repository.take_turn(owner_id)
            await repository.add_all(made)
            await repository.record(owner_id, [Change.of(None, task) for task in made])
    return made


def finder(tasks: Tasks) -> Finder:
    """Reads single tasks, those of one moment together."""

    async def fetch(ids: Sequence[UUID]) -> dict[UUID, Task]:
        async with tasks.read() as repository:
            return await repository.live(ids)

    return Batches(fetch)


async def get_task(finder: Finder, owner_id: UUID, task_id: UUID) -> Task:
    """Raises TaskNotFound."""
    task = await finder.get(task_id)
    if task is None or task.owner_id != owner_id:
        raise TaskNotFound
    return task


async def change_task(
    tasks: Tasks,
    owner_id: UUID,
    task_id: UUID,
    fields: Mapping[str, Any],
    expected: Expectation = whatever,
) -> Task:
    """Sets `fields` and leaves the rest; the same values again change nothing.

    Raises TaskNotFound, TaskChanged, ParentRefused and ExternalIdTaken.
    """
    async with tasks.begin() as repository:
        await repository.take_turn(owner_id)
        before = await _expect(repository, owner_id, task_id, expected)
        after = before.changed(fields, utc_now())
        if after.parent_id != before.parent_id and after.parent_id is not None:
            await _check_move(repository, owner_id, task_id, after.parent_id)
        if after is not before:
            await repository.save(before, after)
            await repository.record(owner_id, [Change.of(before, after)])
    return after


async def delete_task(
    tasks: Tasks, owner_id: UUID, task_id: UUID, expected: Expectation = whatever
) -> None:
    """Puts the task and everything below it into the trash.

    Raises TaskNotFound and TaskChanged.
    """
    async with tasks.begin() as repository:
        await repository.take_turn(owner_id)
        await _expect(repository, owner_id, task_id, expected)
        gone = await repository.delete(task_id, utc_now())
        await repository.record(owner_id, [Change.deletion(task) for task in gone])


async def _expect(
    repository: TaskRepository, owner_id: UUID, task_id: UUID, expected: Expectation
) -> Task:
    task = await repository.find(owner_id, task_id)
    if task is None:
        raise TaskNotFound
    if not expected(task.etag):
        raise TaskChanged(task.etag)
    return task


async def _check_move(
    repository: TaskRepository, owner_id: UUID, task_id: UUID, parent_id: UUID
) -> None:
    """Raises ParentRefused unless the task, with all below it, may go below `parent_id`."""
    above = await _branch(repository, owner_id, parent_id)
    if task_id in above:
        raise ParentRefused(ParentRefused.CYCLE)
    if len(above) + await repository.height(task_id) > MAX_LEVELS:
        raise ParentRefused(ParentRefused.TOO_DEEP)


async def _branch(repository: TaskRepository, owner_id: UUID, parent_id: UUID) -> list[UUID]:
    """The ids from the parent upwards. Raises ParentRefused when the owner has no such task."""
    above = await repository.branch(owner_id, parent_id)
    if not above:
        raise ParentRefused(ParentRefused.MISSING)
    return above
