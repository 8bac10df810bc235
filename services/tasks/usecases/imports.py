"""Storing the tasks of a file: planned whole, then written in one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import NamedTuple, TypeVar
from uuid import UUID

from services.tasks.domain import ExternalIdTaken, ImportedTask, Task
from services.tasks.repository.imports import ImportRepository
from services.tasks.transfer.intake import Candidate, Intake, Refusal
from services.tasks.usecases.import_plan import Plan, make_plan
from shared.clock import utc_now
from shared.database import Store
from shared.errors import ServiceUnavailable

T = TypeVar("T")
Imports = Store[ImportRepository]

_NAMES_AT_A_TIME = 5_000
_TASKS_AT_A_TIME = 500
_ATTEMPTS = 3
_TURN_SECONDS = 8.0


class ImportReport(NamedTuple):
    """What became of the lines of a file; the three counts add up to the lines that hold
    something."""

    imported: int
    unchanged: int
    refused: list[Refusal]


async def import_tasks(
    imports: Imports, turns: asyncio.Semaphore, owner_id: UUID, intake: Intake, *, dry_run: bool
) -> ImportReport:
    """Creates the tasks of the file that the owner has not got; a dry run only says what would be.

    A line whose external_id is that of a live task is unchanged, whatever else it says. `turns`
    bounds the imports that hold a connection at the same time. Raises ServiceUnavailable when
    none gets free in time, and ExternalIdTaken when others keep creating the same tasks.
    """
    try:
        async with asyncio.timeout(_TURN_SECONDS):
            await turns.acquire()
    except TimeoutError:
        raise ServiceUnavailable(
            "Too many imports at once", retry_after_seconds=int(_TURN_SECONDS)
        ) from None
    try:
        for _ in range(_ATTEMPTS - 1):
            try:
                return await _import(imports, owner_id, intake, dry_run=dry_run)
            except ExternalIdTaken:
                # A task with one of these names was created meanwhile: it is known next time.
                continue
        return await _import(imports, owner_id, intake, dry_run=dry_run)
    finally:
        turns.release()


async def _import(
    imports: Imports, owner_id: UUID, intake: Intake, *, dry_run: bool
) -> ImportReport:
    async with imports.begin() as repository:
        await repository.take_turn(owner_id)
        plan = await _plan(repository, owner_id, intake.candidates)
        if not dry_run:
            await _store(repository, owner_id, intake, plan)
    refused = sorted([*intake.refusals, *plan.refusals], key=lambda refusal: refusal.line)
    return ImportReport(len(plan.new), plan.unchanged, refused)


async def _plan(
    repository: ImportRepository, owner_id: UUID, candidates: Sequence[Candidate]
) -> Plan:
    parents = {c.parent_external_id for c in candidates if c.parent_external_id is not None}
    names = {c.external_id for c in candidates} | parents
    known: dict[str, UUID] = {}
    for some in _batches(iter(names), _NAMES_AT_A_TIME):
        known.update(await repository.known(owner_id, some))
    levels: dict[UUID, int] = {}
    stored_parents = {known[name] for name in parents if name in known}
    for ids in _batches(iter(stored_parents), _NAMES_AT_A_TIME):
        levels.update(await repository.levels(ids))
    # In a thread: a hundred thousand lines are a noticeable moment for everybody else.
    return await asyncio.to_thread(make_plan, candidates, known, levels)


async def _store(repository: ImportRepository, owner_id: UUID, intake: Intake, plan: Plan) -> None:
    now = utc_now()
    new = (
        _task(owner_id, task, plan.new[candidate.external_id], plan, now)
        for candidate, task in _renamed(intake)
        if candidate.external_id in plan.new
    )
    for tasks in _batches(new, _TASKS_AT_A_TIME):
        await repository.add_all(tasks)


def _renamed(intake: Intake) -> Iterator[tuple[Candidate, ImportedTask]]:
    for candidate, task in intake.tasks():
        yield candidate, task._replace(external_id=candidate.external_id)


def _task(owner_id: UUID, given: ImportedTask, task_id: UUID, plan: Plan, now: datetime) -> Task:
    return Task(
        id=task_id,
        owner_id=owner_id,
        title=given.title,
        description=given.description,
        priority=given.priority,
        due_date=given.due_date,
        completed=given.completed,
        completed_at=given.completed_at,
        labels=given.labels,
        parent_id=plan.parent_of(given.parent_external_id),
        external_id=given.external_id,
        version=1,
        created_at=given.created_at or now,
        updated_at=now,
    )


def _batches(items: Iterator[T], size: int) -> Iterator[list[T]]:
    while batch := list(islice(items, size)):
        yield batch
