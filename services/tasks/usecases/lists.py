"""Lists of tasks, and all of them for an export."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from services.tasks.cursors import Walk
from services.tasks.domain import (
    BEST_FIRST,
    NEWEST_FIRST,
    CursorRefused,
    ExportedTask,
    Place,
    SortKey,
    Task,
)
from services.tasks.repository.feed import FeedRepository
from services.tasks.repository.lists import TaskLists
from services.tasks.repository.parts import Counted
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
    sort: Sequence[SortKey] | None,
    offset: int,
    limit: int,
    seen: str,
) -> Counted:
    """The owner's live tasks that pass `filters`, from `offset` on; `sort` as in `walk_tasks`.

    `seen` is the revision that they had a moment before.
    """
    wanted = _orders(filters, sort)[0]
    async with lists.read() as repository:
        return await repository.page(
            owner_id, filters, wanted, offset=offset, limit=limit, seen=seen
        )


def _orders(filters: Mapping[str, Any], sort: Sequence[SortKey] | None) -> list[Sequence[SortKey]]:
    """The orders that a list may be in, the wanted one first."""
    if sort is not None:
        return [sort]
    return [BEST_FIRST, NEWEST_FIRST] if "q" in filters else [NEWEST_FIRST]


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
    sort: Sequence[SortKey] | None,
    cursor: str,
    limit: int,
    seen: str,
) -> WalkPage:
    """The owner's live tasks that pass `filters`, from the cursor on; "" is the beginning.

    Without `sort` the newest come first, and where words are searched the best. A task that exists
    during the whole walk, and whose place in the order stays, is on exactly one page. Raises
    CursorRefused.
    """
    async with lists.read() as repository:
        key = await repository.secret(CURSORS)
        walks = [(order, Walk(key, owner_id, filters, order)) for order in _orders(filters, sort)]
        wanted, after = _begun(walks, cursor)
        # One more than asked for tells whether anything follows.
        found = await repository.walk(
            owner_id, filters, wanted, after=after, limit=limit + 1, seen=seen
        )
    page = found.tasks[:limit]
    next_cursor = None
    if len(found.tasks) > limit:
        relevance = found.relevance[limit - 1] if found.relevance else None
        walk = next(walk for order, walk in walks if order == found.sort)
        next_cursor = walk.cursor(page[-1], relevance)
    return WalkPage(found.revision, next_cursor, page)


def _begun(
    walks: Sequence[tuple[Sequence[SortKey], Walk]], cursor: str
) -> tuple[Sequence[SortKey], Place | None]:
    """The order of the walk that `cursor` is of, and where in it. Raises CursorRefused."""
    for order, walk in walks[:-1]:
        with contextlib.suppress(CursorRefused):
            return order, walk.place(cursor)
    order, walk = walks[-1]
    return order, walk.place(cursor)


async def export_tasks(
    lists: Lists, owner_id: UUID, check: Callable[[], None]
) -> AsyncIterator[list[ExportedTask]]:
    """All live tasks of the owner in the order of their creation, in batches.

    Between two batches nothing is held, so a slow reader costs neither a connection nor a lock. A
    task that exists from the first to the last batch is in exactly one of them. `check`
    is asked before each batch and raises when nobody waits for it any more.
    """
    after: tuple[datetime, UUID] | None = None
    while True:
        async with lists.read() as repository:
            # Whoever leaves does so while he waits for a connection, when there is much to do.
            check()
            batch = await repository.export(owner_id, after, EXPORT_BATCH)
        if batch:
            yield batch
        if len(batch) < EXPORT_BATCH:
            return
        after = (batch[-1].created_at, batch[-1].id)
