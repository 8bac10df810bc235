"""Counts of lists that were counted before, moved by what has changed since.

A count is kept with the place in the owner's feed that it was true at. The changes since then say
by how much it has moved: each has the task after it, and the values before. So a filter that passes
very many tasks is counted once, and not once after each write.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from services.tasks.repository.feed import sequence_of

# Of so many changes a count is moved; with more it is quicker to count again.
_MOST_CHANGES = 200
# A common word is looked for as a rare one so seldom, in case that it has become one.
_TRUSTED = 100
# The filters by what changes tell of: none says when a task was written before.
TOLD = frozenset(
    {
        "completed", "priority", "min_priority", "max_priority", "due_before", "due_after",
        "created_after", "label", "parent_id", "q",
    }
)  # fmt: skip

# The change that an owner's feed ends with, in the snapshot of the statement. Not as a join: a plan
# made while there were few changes would read all of his to find the one.
LAST_CHANGE = """
    SELECT id FROM changes
    WHERE owner_id = $1 AND sequence = (SELECT sequence FROM feeds WHERE owner_id = $1)
"""
# What `tasks.search` is made of; a test holds the two equal.
SEARCHED = r"""
    setweight(to_tsvector('simple', translate({title}, '/.:@_=<>&', '         ')), 'A') ||
    setweight(
        to_tsvector('simple', translate(coalesce({description}, ''), '/.:@_=<>&', '         ')), 'B'
    ) || array_to_tsvector(ARRAY['owner:' || $1::uuid::text])
"""
# NULL when the feed has another history than when it was counted, or a part that is not kept any
# more: then the change that it ended with is not there.
_MOVED = """
    SELECT CASE WHEN count(changed.sequence) <= {most} AND EXISTS (
        SELECT 1 FROM changes WHERE owner_id = $1 AND sequence = {sequence} AND id = {change}
    ) THEN {total}::bigint + coalesce(sum((
        SELECT sum(sign) FROM (
            SELECT sign, (task).completed, (task).priority, (task).due_date, (task).created_at,
                (task).labels, (task).parent_id, {search} AS search
            FROM (VALUES
                (CASE WHEN type = 'task.deleted' THEN -1 ELSE 1 END, after),
                (CASE WHEN previous IS NULL THEN 0 ELSE -1 END,
                    json_populate_record(after, previous))
            ) AS state (sign, task)
        ) AS state WHERE {conditions}
    ))::bigint, 0) END AS total
    FROM (
        SELECT sequence, type, previous, json_populate_record(NULL::tasks, task) AS after
        FROM changes WHERE owner_id = $1 AND sequence > {sequence} ORDER BY sequence
        LIMIT {most} + 1
    ) AS changed
"""
# Nearly all tasks are counted by the few that are left out, as how many there are is known.
_LEFT_OUT = """
    SELECT CASE WHEN others.tasks <= {most} THEN (
        SELECT coalesce(sum(tasks), 0)::bigint FROM tallies WHERE owner_id = $1 AND label = ''
    ) - others.tasks ELSE (SELECT count(*) FROM tasks WHERE {where}) END AS total
    FROM (
        SELECT count(*) AS tasks FROM (
            SELECT 1 FROM tasks WHERE owner_id = $1 AND deleted_at IS NULL AND {column} <= $2
            LIMIT {most} + 1
        ) AS met
    ) AS others
"""
# The filters that leave out what an index has together, and the column; none is ever NULL.
_FROM_THEN_ON = {"created_after": "created_at", "updated_after": "updated_at"}
# Of so many at most.
MOST_LEFT_OUT = 5_000


class Kept(NamedTuple):
    """A count, the sequence of the owner's feed that it was true at, and that change's id."""

    total: int
    sequence: int
    change_id: UUID


class Counts:
    """How many tasks passed some filters, and which words are common, as far as it is known.

    Nothing has to be told when a task is written: what is kept is only a place to go on from.
    """

    def __init__(self, size: int = 10_000) -> None:
        self._size = size
        self._found: OrderedDict[Any, Kept] = OrderedDict()
        self._common: OrderedDict[tuple[UUID, str], int] = OrderedDict()

    def get(self, key: Any) -> Kept | None:
        """The count of the filters that `key` stands for."""
        return self._found.get(key)

    def put(self, key: Any, total: int, revision: str, change_id: UUID | None) -> None:
        """Keeps a count; the oldest one makes room. Without a change there is no going on."""
        if change_id is None:
            self._found.pop(key, None)
            return
        self._found[key] = Kept(total, sequence_of(revision), change_id)
        self._found.move_to_end(key)
        if len(self._found) > self._size:
            self._found.popitem(last=False)

    def is_common(self, owner_id: UUID, words: str) -> bool:
        """Whether it is known that more than a few of the owner's tasks have these words."""
        left = self._common.get((owner_id, words), 0)
        if not left:
            return False
        self._common[owner_id, words] = left - 1
        return True

    def found_common(self, owner_id: UUID, words: str) -> None:
        """More than a few of the owner's tasks have these words."""
        self._common[owner_id, words] = _TRUSTED
        self._common.move_to_end((owner_id, words))
        if len(self._common) > self._size:
            self._common.popitem(last=False)


def counted(filters: Mapping[str, Any], where: str) -> str:
    """The query of how many tasks pass the filters, which `where` asks for as well."""
    if len(filters) == 1:
        column = _FROM_THEN_ON.get(next(iter(filters)))
        if column is not None:
            return _LEFT_OUT.format(most=MOST_LEFT_OUT, where=where, column=column)
    return f"SELECT count(*) AS total FROM tasks WHERE {where}"


def moved(
    kept: Kept, filters: Mapping[str, Any], conditions: str, values: Sequence[Any]
) -> tuple[str, list[Any]]:
    """The query of what a kept count is by now, and `values` with its parameters at their end.

    Its `total` is NULL when the changes since do not tell. The filters are of those in TOLD.
    """
    values = [*values, *kept]
    at = len(values)
    searched = SEARCHED.format(title="(task).title", description="(task).description")
    query = _MOVED.format(
        most=_MOST_CHANGES,
        total=f"${at - 2}",
        sequence=f"${at - 1}::bigint",
        change=f"${at}::uuid",
        search=searched if "q" in filters else "NULL",
        conditions=conditions,
    )
    return query, values
