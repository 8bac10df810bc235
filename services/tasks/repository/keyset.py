"""Orders that no two tasks are equal in, and the tasks that come after a place in one of them.

A column that may be NULL makes two branches when it decides first: the tasks with a value, then
those without. A priority that decides before a due date makes one of each priority. Each of them
can be read from an index in its order, which one condition over all could not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from services.tasks.domain import MAX_PRIORITY, MIN_PRIORITY, Place, SortKey

_NULLABLE = frozenset({"due_date"})


class Branch(NamedTuple):
    """A part of an order: what its tasks fulfil, and in which order they come."""

    conditions: list[str]
    order: str


def total_order(sort: Sequence[SortKey]) -> tuple[SortKey, ...]:
    """`sort`, and the id where it leaves tasks equal, in the direction of the last key."""
    return (*sort, SortKey("id", descending=sort[-1].descending))


def branches(sort: Sequence[SortKey], after: Place | None, values: list[Any]) -> list[Branch]:
    """The tasks after `after`, or all of them; appends the parameters that are used to `values`."""
    keys = total_order(sort)
    if [key.field for key in keys[:2]] == ["priority", "due_date"]:
        return _by_priority(keys, after, values)
    return _branches(keys, after, values)


def _by_priority(keys: Sequence[SortKey], after: Place | None, values: list[Any]) -> list[Branch]:
    found: list[Branch] = []
    for priority in range(MIN_PRIORITY, MAX_PRIORITY + 1):
        place: Place | None = None
        if after is not None and after[0] == priority:
            place = after[1:]
        elif after is not None and (priority > after[0]) == keys[0].descending:
            continue
        fixed = f"priority = {priority}"
        found += [
            Branch([fixed, *conditions], order)
            for conditions, order in _branches(keys[1:], place, values)
        ]
    return found


def _branches(keys: Sequence[SortKey], after: Place | None, values: list[Any]) -> list[Branch]:
    first, rest = keys[0], keys[1:]
    if first.field not in _NULLABLE:
        return [Branch([] if after is None else _after(keys, after, values), order_by(keys))]
    # The column orders nothing where it is NULL, but naming it leads the planner to its index.
    plain = ", ".join([_direction(first), *map(_order, rest)])
    empty = [f"{first.field} IS NULL"]
    if after is not None and after[0] is None:
        return [Branch(empty + _after(rest, after[1:], values), plain)]
    filled = [f"{first.field} IS NOT NULL"]
    if after is not None:
        filled += _after(keys, after, values)
    return [Branch(filled, plain), Branch(empty, plain)]


def order_by(keys: Sequence[SortKey]) -> str:
    """An ORDER BY list; tasks without a value come last in both directions."""
    return ", ".join(map(_order, keys))


def _order(key: SortKey) -> str:
    return f"{_direction(key)} NULLS LAST" if key.field in _NULLABLE else _direction(key)


def _direction(key: SortKey) -> str:
    return f"{key.field} {'DESC' if key.descending else 'ASC'}"


def _after(keys: Sequence[SortKey], place: Sequence[Any], values: list[Any]) -> list[str]:
    """Conditions that hold for what follows `place`: later in one key, equal in those before."""
    alternatives: list[str] = []
    equal: list[str] = []
    bound: list[str] = []
    for key, value in zip(keys, place, strict=True):
        if value is None:
            # Nothing comes after it in this key.
            equal.append(f"{key.field} IS NULL")
            continue
        values.append(value)
        at, sign = f"${len(values)}", "<" if key.descending else ">"
        later = f"{key.field} {sign} {at}"
        if key.field in _NULLABLE and bound:
            later = f"({later} OR {key.field} IS NULL)"
        if not bound:
            # Implied by the rest, and what an index scan can start from.
            bound.append(f"{key.field} {sign}= {at}")
        alternatives.append(" AND ".join([*equal, later]))
        equal.append(f"{key.field} = {at}")
    return [*bound, f"({' OR '.join(f'({one})' for one in alternatives)})"]
