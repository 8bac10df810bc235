"""Parts of lists: the query of some tasks in their order, and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from services.tasks.domain import BEST_FIRST, Place, SortKey, Task
from services.tasks.repository.feed import NEVER, REVISION
from services.tasks.repository.keyset import branches, order_by, total_order
from services.tasks.repository.rows import COLUMNS, tasks_of
from shared.database import Connection

# Where the columns of a task end, behind the revision, the number of live tasks, the count and the
# last change.
_LAST = 4 + len(Task._fields)
NO_COUNT = "SELECT NULL::bigint AS total"


class Counted(NamedTuple):
    """A part of a list at a revision of its owner's feed, and how many tasks the whole has.

    `sort` is the order that they are in, `relevance` that of each task where it orders.
    """

    revision: str
    total: int
    tasks: list[Task]
    sort: Sequence[SortKey]
    relevance: list[float]
    live: int = 0  # how many tasks the owner has
    change_id: UUID | None = None  # the last one of the feed, where it was asked for


def select_part(
    where: str,
    sort: Sequence[SortKey],
    after: Place | None,
    values: list[Any],
    *,
    limit: str,
    offset: str,
    source: str = "tasks",
) -> str:
    """`limit` tasks in their order, `offset` of them left out before."""
    columns = f"{COLUMNS}, relevance" if sort == BEST_FIRST else COLUMNS
    selects = [
        f"(SELECT {columns} FROM {source} WHERE {' AND '.join([where, *branch.conditions])} "
        f"ORDER BY {branch.order} LIMIT {offset}::bigint + {limit}::bigint)"
        for branch in branches(sort, after, values)
    ]
    return (
        f"SELECT * FROM ({' UNION ALL '.join(selects)}) AS part "
        f"ORDER BY {order_by(total_order(sort))} OFFSET {offset}::bigint LIMIT {limit}::bigint"
    )


async def fetch_part(
    connection: Connection,
    count: str,
    select: str,
    sort: Sequence[SortKey],
    values: Sequence[Any],
    *,
    found: str = "",
    mark: str = "NULL",
) -> Counted:
    """Runs a list; a `total` that the count does not tell is -1."""
    rows = await connection.fetch(
        f"{found} "
        f"SELECT coalesce(feed.revision, '{NEVER}'), coalesce(feed.live, 0), "
        f"counted.total, ({mark})::uuid AS last_change, page.* "
        f"FROM ({count}) AS counted "
        f"LEFT JOIN (SELECT {REVISION} AS revision, live FROM feeds WHERE owner_id = $1) AS feed "
        f"ON true LEFT JOIN ({select}) AS page ON true "
        f"ORDER BY {order_by(total_order(sort))}",
        *values,
    )
    # A page beyond the end is one row with nothing but the count.
    revision, live, total, change_id, *first = rows[0]
    tasks = [] if first[0] is None else tasks_of(row[4:_LAST] for row in rows)
    relevance = [row[_LAST] for row in rows] if sort == BEST_FIRST else []
    total = -1 if total is None else total
    return Counted(revision, total, tasks, sort, relevance, live, change_id)
