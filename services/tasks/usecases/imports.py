"""Storing the tasks of a file: planned whole, then written a portion at a time.

Each portion is a transaction that takes the owner's turn and looks again at what it depends on, so
that the owner goes on working during a long import. A portion is in the feed as a whole or not at
all; the last one is written in the transaction that keeps the answer under an idempotency key.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from typing import NamedTuple, TypeVar
from uuid import UUID

from services.tasks.domain import ImportedTask, Task
from services.tasks.repository.imports import ImportRepository
from services.tasks.transfer.intake import Candidate, Intake, Refusal
from services.tasks.usecases.import_plan import Plan, make_plan, parents_first
from shared.clock import utc_now
from shared.database import Store

T = TypeVar("T")
Imports = Store[ImportRepository]

# Takes a fraction of a second: others wait for the owner's turn no longer than that.
PORTION = 500
_NAMES_AT_A_TIME = 5_000


class ImportReport(NamedTuple):
    """What became of the lines of a file; the three counts add up to the lines that hold
    something."""

    imported: int
    unchanged: int
    refused: list[Refusal]


@dataclass
class _Writing:
    """An import under way: whose, of what, as planned, and what has become of it so far."""

    owner_id: UUID
    intake: Intake
    plan: Plan
    now: datetime
    imported: int = 0
    unchanged: int = 0
    refusals: list[Refusal] = field(default_factory=list)
    refused_names: set[str] = field(default_factory=set)


async def import_tasks(
    imports: Imports, owner_id: UUID, intake: Intake, *, check: Callable[[], None], dry_run: bool
) -> ImportReport:
    """Creates the tasks of the file that the owner has not got; a dry run only says what would be.

    A line whose external_id is that of a live task is unchanged, whatever else it says. An import
    that is cut off has written some portions; run again, it writes the others. `check` is asked
    before each portion and raises when the import is to end there.
    """
    check()
    async with imports.read() as repository:
        plan = await _plan(repository, owner_id, intake.candidates)
    if dry_run:
        return _report(intake, plan, len(plan.new), 0, [])
    writing = _Writing(owner_id, intake, plan, utc_now())
    portions = list(_batches(parents_first(intake.candidates, plan.new), PORTION))
    if len(portions) > 1:
        async with imports.begin() as repository:
            await repository.wait_long()
    for portion in portions[:-1]:
        check()
        async with imports.apart() as repository:
            await _write(repository, writing, portion)
    for portion in portions[-1:]:
        check()
        async with imports.begin() as repository:
            await _write(repository, writing, portion)
    return _report(intake, plan, writing.imported, writing.unchanged, writing.refusals)


def _report(
    intake: Intake, plan: Plan, imported: int, unchanged: int, refusals: Sequence[Refusal]
) -> ImportReport:
    refused = sorted(
        [*intake.refusals, *plan.refusals, *refusals], key=lambda refusal: refusal.line
    )
    return ImportReport(imported, plan.unchanged + unchanged, refused)


async def _plan(
    repository: ImportRepository,
    owner_id: UUID,
    candidates: Sequence[Candidate],
    refused: frozenset[str] = frozenset(),
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
    return await asyncio.to_thread(make_plan, candidates, known, levels, refused)


async def _write(repository: ImportRepository, writing: _Writing, portion: Sequence[int]) -> None:
    """Stores these lines as far as they can still be stored, and books what became of them."""
    await repository.take_turn(writing.owner_id)
    candidates = [writing.intake.candidates[place] for place in portion]
    refused = frozenset(writing.refused_names)
    found = await _plan(repository, writing.owner_id, candidates, refused)
    # The ids are those of the whole file, so that they follow it across all portions.
    part = replace(found, new={name: writing.plan.new[name] for name in found.new})
    tasks = [
        _task(writing.owner_id, writing.intake.task(place), part, writing.now)
        for place, candidate in zip(portion, candidates, strict=True)
        if candidate.external_id in part.new
    ]
    if tasks:
        await repository.add_all(tasks)
    writing.imported += len(tasks)
    writing.unchanged += part.unchanged
    writing.refusals += part.refusals
    lines = {refusal.line for refusal in part.refusals}
    writing.refused_names |= {c.external_id for c in candidates if c.line in lines}


def _task(owner_id: UUID, given: ImportedTask, plan: Plan, now: datetime) -> Task:
    assert given.external_id is not None
    return Task(
        id=plan.new[given.external_id],
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
