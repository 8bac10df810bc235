"""Pages of lists whose tasks a catalogue names, and how many there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from services.tasks.catalogue.catalogue import Catalogue
from services.tasks.catalogue.words import Query
from services.tasks.domain import BEST_FIRST, NEWEST_FIRST, SortKey
from services.tasks.repository.catalogues import Catalogues
from services.tasks.repository.feed import NEVER, sequence_of
from services.tasks.repository.keyset import order_by, total_order
from services.tasks.repository.parts import Counted, fetch_part, select_part
from services.tasks.repository.rows import COLUMNS
from shared.database import Connection

# A catalogue may be moved on so often until the page of one request is of the same revision.
_TRIES = 3
_FOUND = f"""
    WITH found AS MATERIALIZED (
        SELECT {COLUMNS} FROM tasks WHERE id = ANY($2::uuid[]) AND owner_id = $1
    )
"""
_TOTAL = "SELECT ${}::bigint AS total"


class CataloguedLists:
    """Lists of an owner's live tasks, as far as there is a catalogue that knows what is asked for.

    Words that at most `few` of his tasks have are not looked for here.
    """

    def __init__(
        self, connection: Connection, catalogues: Catalogues, owner_id: UUID, few: int
    ) -> None:
        self._connection = connection
        self._catalogues = catalogues
        self._owner_id = owner_id
        self._few = few

    async def page(
        self,
        filters: Mapping[str, Any],
        sort: Sequence[SortKey],
        where: tuple[str, Sequence[Any]],
        *,
        offset: int,
        limit: int,
        seen: str = NEVER,
    ) -> Counted | None:
        """As `TaskLists.page`, or None. `where` are the filters for the database.

        The catalogue was right when the page is of its revision. Else it is moved on, and asked
        again.
        """
        query = None
        if "q" in filters and self._catalogues.get(self._owner_id) is not None:
            query = await self._catalogues.searches.read(self._connection, filters["q"])
        for _ in range(_TRIES):
            catalogue = self._catalogues.get(self._owner_id)
            if catalogue is None:
                return None
            revision = catalogue.revision
            group = self._group(catalogue, filters, query)
            if group is None:
                return None
            if catalogue.behind or sequence_of(seen) > sequence_of(revision):
                # No page of it need be fetched to see that it is not the right one.
                seen = NEVER
                if not await self._catalogues.move(self._connection, self._owner_id, catalogue):
                    return None
                continue
            order = NEWEST_FIRST if sort == BEST_FIRST else sort
            page = await self._page(catalogue, group, order, where, offset, limit)
            if page.revision == revision:
                return page
            if not await self._catalogues.move(self._connection, self._owner_id, catalogue):
                return None
        return None

    def _group(
        self, catalogue: Catalogue, filters: Mapping[str, Any], query: Query | None
    ) -> int | None:
        if "q" in filters:
            searched = None if query is None else catalogue.searched(query)
            if searched is None or searched.bit_count() <= self._few:
                return None
        return catalogue.passing(filters, query)

    async def _page(
        self,
        catalogue: Catalogue,
        group: int,
        sort: Sequence[SortKey],
        where: tuple[str, Sequence[Any]],
        offset: int,
        limit: int,
    ) -> Counted:
        total = group.bit_count()
        part = catalogue.part(group, sort, offset, limit)
        values: list[Any]
        if part is None:
            conditions, given = where
            values = [*given, offset, limit, total]
            at = len(values)
            select = select_part(
                conditions, sort, None, values, limit=f"${at - 1}", offset=f"${at - 2}"
            )
            return await fetch_part(self._connection, _TOTAL.format(at), select, sort, values)
        select = (
            f"SELECT * FROM found ORDER BY {order_by(total_order(sort))} "
            f"OFFSET $3::bigint LIMIT $4::bigint"
        )
        values = [self._owner_id, part.ids, part.skip, limit, total]
        return await fetch_part(
            self._connection, _TOTAL.format(5), select, sort, values, found=_FOUND
        )
