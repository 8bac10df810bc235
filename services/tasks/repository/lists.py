"""Many tasks at once: pages with their count, and the walk that an export takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from services.tasks.domain import BEST_FIRST, NEWEST_FIRST, ExportedTask, Place, SortKey
from services.tasks.repository.catalogued import CataloguedLists
from services.tasks.repository.catalogues import Catalogues
from services.tasks.repository.counts import LAST_CHANGE, TOLD, Counts, counted, moved
from services.tasks.repository.feed import NEVER
from services.tasks.repository.parts import NO_COUNT, Counted, fetch_part, select_part
from services.tasks.repository.rows import COLUMNS
from services.tasks.repository.searches import SEARCHED_FOR
from shared.database import Connection

# What each filter asks for; `{}` is its value.
_CONDITIONS = {
    "completed": "completed = {}",
    "priority": "priority = {}",
    "min_priority": "priority >= {}",
    "max_priority": "priority <= {}",
    "due_before": "due_date < {}",
    "due_after": "due_date > {}",
    "created_after": "created_at > {}",
    "updated_after": "updated_at > {}",
    "label": "labels @> ARRAY[{}::text]",
    "parent_id": "parent_id = {}",
}
# The owner is a word of his tasks.
_WORDS = f"({SEARCHED_FOR} && ('''owner:' || $1::uuid::text || '''')::tsquery)"
# A word in the title weighs more than one in the description, however often it is there.
_RELEVANCE = f", ts_rank(search, {SEARCHED_FOR})::float8 AS relevance"
_CONDITIONS["q"] = f"search @@ {_WORDS}"
# So many tasks with some words are looked at one by one; more of them are met soon in any order.
_FEW = 1_000
# A walk by relevance goes on by it, should there have come more than a few meanwhile.
_MANY = 1_000_000
# What comes so soon in a list of all tasks costs the database one short look.
_NEAR = 1_000
FILTERS = frozenset(_CONDITIONS)
# The filters whose counts are kept, as conditions on the tallies.
_TALLIED = {
    **{
        name: _CONDITIONS[name]
        for name in ("completed", "priority", "min_priority", "max_priority")
    },
    "label": "label = {}",
}

_EXPORT = """
    SELECT coalesce(task.external_id, task.id::text), task.title, task.description, task.priority,
        task.completed, task.completed_at, task.created_at, task.due_date, task.labels,
        coalesce(parent.external_id, parent.id::text), task.id
    FROM tasks AS task LEFT JOIN tasks AS parent ON parent.id = task.parent_id
    WHERE task.owner_id = $1 AND task.deleted_at IS NULL {after}
    ORDER BY task.created_at, task.id LIMIT $2
"""
_EXPORT_FIRST = _EXPORT.format(after="")
_EXPORT_NEXT = _EXPORT.format(after="AND (task.created_at, task.id) > ($3, $4)")


class TaskLists:
    """Lists of live tasks behind one connection.

    `counts` and `catalogues` outlive the connection; without the latter the database is asked for
    everything.
    """

    def __init__(
        self, connection: Connection, counts: Counts, catalogues: Catalogues | None = None
    ) -> None:
        self._connection = connection
        self._counts = counts
        self._catalogues = catalogues

    async def page(
        self,
        owner_id: UUID,
        filters: Mapping[str, Any],
        sort: Sequence[SortKey],
        *,
        offset: int,
        limit: int,
        seen: str = NEVER,
    ) -> Counted:
        """How many tasks pass the filters, and `limit` of them from `offset` on.

        The two agree, as both come from one state of the data. Words that more than a few tasks
        have tell little: then the newest come first, not the best. `seen` is the revision that was
        met last, if that is known.
        """
        where, values = _where(owner_id, filters)
        # The database has them counted and in order.
        near = not filters and offset + limit <= _NEAR
        if self._catalogues is not None and not near:
            lists = CataloguedLists(self._connection, self._catalogues, owner_id, _FEW)
            page = await lists.page(
                filters, sort, (where, values), offset=offset, limit=limit, seen=seen
            )
            if page is not None:
                return page
        return await self._page(owner_id, filters, sort, where, values, offset, limit)

    async def _page(
        self,
        owner_id: UUID,
        filters: Mapping[str, Any],
        sort: Sequence[SortKey],
        where: str,
        values: list[Any],
        offset: int,
        limit: int,
    ) -> Counted:
        """As `page`, by the database alone."""
        key = (where, *values)
        kept = self._counts.get(key) if filters.keys() <= TOLD else None
        few = None
        # A count that has been beyond a few says that the words are met soon.
        if kept is None or kept.total <= _FEW:
            few = await self._few(owner_id, filters, sort, None, offset, limit)
            if few is not None:
                return few
        wanted, sort = sort, NEWEST_FIRST if sort == BEST_FIRST else sort
        values += [offset, limit]
        at = len(values)
        select = select_part(where, sort, None, values, limit=f"${at}", offset=f"${at - 1}")
        if filters.keys() <= _TALLIED.keys():
            return await self._fetch(_tallied(filters), select, sort, values)
        page = None
        if kept is not None:
            count, more = moved(kept, filters, _conditions(filters), values)
            page = await self._fetch(count, select, sort, more, mark=LAST_CHANGE)
        if page is None or page.total < 0:
            count = counted(filters, where)
            page = await self._fetch(count, select, sort, values, mark=LAST_CHANGE)
        self._counts.put(key, page.total, page.revision, page.change_id)
        if kept is not None and page.total <= _FEW < kept.total:
            # What was said of the words need not hold any more.
            few = await self._few(owner_id, filters, wanted, None, offset, limit)
        return page if few is None else few

    async def _few(
        self,
        owner_id: UUID,
        filters: Mapping[str, Any],
        sort: Sequence[SortKey],
        after: Place | None,
        offset: int,
        limit: int,
    ) -> Counted | None:
        """As `page` and `walk` when few tasks have the words that are searched, else None."""
        best = sort == BEST_FIRST
        most = _MANY if best and after is not None else _FEW
        # Where it decides the order, it is not enough that they were common a while ago.
        if "q" not in filters or (not best and self._counts.is_common(owner_id, filters["q"])):
            return None
        where, values = _where(
            owner_id, {name: one for name, one in filters.items() if name != "q"}
        )
        values += [filters["q"], offset, limit]
        at = len(values)
        words = _WORDS.format(f"${at - 2}")
        more = _RELEVANCE.format(f"${at - 2}") if best else ""
        select = select_part(
            "true", sort, after, values, limit=f"${at}", offset=f"${at - 1}", source="found"
        )
        found = (
            f"WITH matched AS MATERIALIZED (SELECT id FROM tasks_with({words}, {most + 1}) AS id), "
            f"found AS MATERIALIZED (SELECT {COLUMNS}{more} FROM tasks JOIN matched USING (id) "
            f"WHERE {where} AND (SELECT count(*) FROM matched) <= {most})"
        )
        count = f"SELECT CASE WHEN (SELECT count(*) FROM matched) <= {most} "
        count += "THEN (SELECT count(*) FROM found) ELSE -1 END AS total"
        page = await self._fetch(count, select, sort, values, found=found)
        if page.total >= 0:
            return page
        self._counts.found_common(owner_id, filters["q"])
        return None

    async def walk(
        self,
        owner_id: UUID,
        filters: Mapping[str, Any],
        sort: Sequence[SortKey],
        *,
        after: Place | None,
        limit: int,
        seen: str = NEVER,
    ) -> Counted:
        """The next `limit` tasks after that place, or the first ones; nothing is counted.

        As in `page` the newest may come first in place of the best, and do so all the walk long.
        """
        where, values = _where(owner_id, filters)
        if self._catalogues is not None and "q" in filters and sort == BEST_FIRST and after is None:
            lists = CataloguedLists(self._connection, self._catalogues, owner_id, _FEW)
            page = await lists.page(
                filters, sort, (where, values), offset=0, limit=limit, seen=seen
            )
            if page is not None:
                return page
        few = await self._few(owner_id, filters, sort, after, 0, limit)
        if few is not None:
            return few
        sort = NEWEST_FIRST if sort == BEST_FIRST else sort
        values.append(limit)
        select = select_part(where, sort, after, values, limit=f"${len(values)}", offset="0")
        return await self._fetch(NO_COUNT, select, sort, values)

    async def _fetch(
        self, count: str, select: str, sort: Sequence[SortKey], values: Sequence[Any], **more: str
    ) -> Counted:
        page = await fetch_part(self._connection, count, select, sort, values, **more)
        if self._catalogues is not None:
            self._catalogues.want(values[0], page.live)
        return page

    async def secret(self, name: str) -> bytes:
        """A key that all processes of this database share and nobody else knows."""
        found: bytes = await self._connection.fetchval(
            "SELECT value FROM secrets WHERE name = $1", name
        )
        return found

    async def export(
        self, owner_id: UUID, after: tuple[datetime, UUID] | None, limit: int
    ) -> list[ExportedTask]:
        """The next tasks by creation after the one of this `created_at` and id."""
        if after is None:
            rows = await self._connection.fetch(_EXPORT_FIRST, owner_id, limit)
        else:
            rows = await self._connection.fetch(_EXPORT_NEXT, owner_id, limit, *after)
        return [ExportedTask._make(row) for row in rows]


def _where(owner_id: UUID, filters: Mapping[str, Any]) -> tuple[str, list[Any]]:
    where = ["owner_id = $1", "deleted_at IS NULL"]
    if filters:
        where.append(_conditions(filters))
    return " AND ".join(where), [owner_id, *filters.values()]


def _conditions(filters: Mapping[str, Any]) -> str:
    """What the filters ask for; their values are the parameters from the second on."""
    return " AND ".join(_CONDITIONS[name].format(f"${at}") for at, name in enumerate(filters, 2))


def _tallied(filters: Mapping[str, Any]) -> str:
    """How many tasks there are; what is asked for most is counted when tasks are written."""
    conditions = ["owner_id = $1"] if "label" in filters else ["owner_id = $1", "label = ''"]
    conditions += [_TALLIED[name].format(f"${at}") for at, name in enumerate(filters, 2)]
    return (
        f"SELECT coalesce(sum(tasks), 0)::bigint AS total FROM tallies "
        f"WHERE {' AND '.join(conditions)}"
    )
