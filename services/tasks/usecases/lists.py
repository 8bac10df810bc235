"""Lists of tasks, and all of them for an export."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from services.tasks.cursors import Walk
from services.tasks.domain import ExportedTask, SortKey, Task
from services.tasks.repository.feed import FeedRepository
from services.tasks.repository.lists import Counted, TaskLists
from shared.batches import Batches
from shared.database import Store

Lists = Store[TaskLists]
Revisions = Batches[UUID, str]

EXPORT_BATCH = 200
CURSORS = "cursors"


def revisions(feed: Store[FeedRepository]) -> Revisions:
    """What changes with every change of an owner's tasks; asked for by the turn."""

    async def fetch(owner_ids: Sequence[UUID]) -> dict[UUID, str]:
        async with feed.read() as repository:
            return await repository.revisions(owner_ids)

    return Batches(fetch)


async def list_tasks(
    lists: Lists,
    owner_id: UUID,
    *,
    filters: Mapping[str, Any],
    sort: Sequence[SortKey],
    offset: int,
    limit: int,
) -> Counted:
    """The owner's live tasks that pass `filters`, from `offset` on."""
    async with lists.read() as repository:
        return await repository.page(owner_id, filters, sort, offset=offset, limit=limit)


class WalkPage(NamedTuple):
    """A part of a walk at a revision of the feed; `next_cursor` is None at its end."""

    revision: str
    next_cursor: str | None
    tasks: list[Task]


async def walk_tasks(
    lists: Lists,
    owner_id: UUID,
    *,
    filters: Mapping[str, Any],
    sort: Sequence[SortKey],
    cursor: str,
    limit: int,
) -> WalkPage:
    """The owner's live tasks that pass `filters`, from the cursor on; "" is the beginning.

    A task that exists during the whole walk, and whose place in the order stays, is on exactly
    one page. Raises CursorRefused.
    """
    async with lists.read() as repository:
        walk = Walk(await repository.secret(CURSORS), owner_id, filters, sort)
        # One more than asked for tells whether anything follows.
        found = await repository.walk(
            owner_id, filters, sort, after=walk.place(cursor), limit=limit + 1
        )
    page = found.tasks[:limit]
    more = len(found.tasks) > limit
    return WalkPage(found.revision, walk.cursor(page[-1]) if more else None, page)


async def export_tasks(lists: Lists, owner_id: UUID) -> AsyncIterator[list[ExportedTask]]:
    """All live tasks of the owner in the order of their creation, in batches.

    Between two batches nothing is held, so a slow reader costs neither a connection nor a lock. A
    task that exists from the first to the last batch is in exactly one of them.
    """
    after: tuple[datetime, UUID] | None = None
    while True:
        async with lists.read() as repository:
            batch = await repository.export(owner_id, after, EXPORT_BATCH)
        if batch:
            yield batch
        if len(batch) < EXPORT_BATCH:
            return
        after = (batch[-1].created_at, batch[-1].id)
