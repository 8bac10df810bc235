"""All live tasks of one owner at one revision of his feed: which pass a filter, and their order."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from services.tasks.catalogue.bits import widened
from services.tasks.catalogue.column import Column
from services.tasks.catalogue.order import Step, stretch
from services.tasks.catalogue.words import Query, found
from services.tasks.domain import SortKey

# PostgreSQL counts microseconds from there, and the highest bit is the sign.
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_SIGN = 1 << 63
_MICROSECOND = timedelta(microseconds=1)
_ID = 16
MOMENTS = ("due_date", "created_at", "updated_at")
_PRIORITY_BITS = 3
# Of a title the bytes that come after what all titles began with.
TITLE_BYTES = 16
# The filters that compare a column with their value.
_COMPARED = {
    "completed": ("completed", Column.equal),
    "priority": ("priority", Column.equal),
    "min_priority": ("priority", Column.at_least),
    "max_priority": ("priority", Column.at_most),
    "due_before": ("due_date", Column.below),
    "due_after": ("due_date", Column.above),
    "created_after": ("created_at", Column.above),
    "updated_after": ("updated_at", Column.above),
}


class TaskState(NamedTuple):
    """What a task is like after a change; a task that is not `live` is in the trash."""

    id: UUID
    live: bool
    title: str
    completed: bool
    priority: int
    due_date: datetime | None
    created_at: datetime
    updated_at: datetime
    labels: Sequence[str]
    words: Sequence[str]


class Part(NamedTuple):
    """Tasks that follow each other in an order; what was asked for begins after `skip` of them."""

    ids: list[UUID]
    skip: int


class Catalogue:
    """Places in the order of the tasks' ids, and the places that have what is asked for.

    `labels` and `words` are those that many tasks have. What is asked about others is not known
    here. `revision` is the feed's; without one it is on the way from one to the next. One that is
    `behind` is of no revision that anybody can meet.
    """

    def __init__(self, ids: bytes, prefix: bytes) -> None:
        self.ids = bytearray(ids)
        self._prefix = prefix  # of all titles when it was made
        self.live = (1 << len(self)) - 1
        self.columns = {name: Column(64) for name in MOMENTS}
        self.columns |= {"priority": Column(_PRIORITY_BITS), "completed": Column(1)}
        self.columns["title"] = Column(8 * TITLE_BYTES)
        self.labels: dict[str, int] = {}
        self.words: dict[str, int] = {}
        self.revision = ""
        self.behind = False
        self.change_id: UUID | None = None
        self.changes = 0  # taken in since it was made

    def __len__(self) -> int:
        return len(self.ids) // _ID

    def searched(self, query: Query) -> int | None:
        """The places that a search finds, None when that is not known."""
        return found(query, self.words, self.live)

    def passing(self, filters: Mapping[str, Any], query: Query | None) -> int | None:
        """The places whose tasks pass the filters, None when that is not known.

        `query` is what the filter `q` asks for.
        """
        group: int | None = self.live
        for name, value in filters.items():
            if group is None:
                return None
            group = self._passing(name, value, query, group)
        return group

    def _passing(self, name: str, value: Any, query: Query | None, among: int) -> int | None:
        if name == "q":
            return None if query is None else found(query, self.words, among)
        if name == "label":
            labelled = self.labels.get(value)
            return None if labelled is None else among & labelled
        if name not in _COMPARED:
            return None
        field, how = _COMPARED[name]
        number = _number(value) if field in MOMENTS else int(value)
        return how(self.columns[field], number, among)

    def part(self, group: int, sort: Sequence[SortKey], offset: int, limit: int) -> Part | None:
        """Where the tasks of `group` from `offset` on are; None when the order is not known."""
        steps: list[Step] = []
        descending: bool | None = sort[-1].descending
        for key in sort:
            column = self.columns[key.field]
            steps.append(Step(column.known, first=True))
            # A bit that all have, or none, decides nothing.
            deciding = (bits for bits in column.slices if bits and bits != column.known)
            steps += [Step(bits, key.descending) for bits in deciding]
            if key.field == "title":
                # Titles that are alike here may be different further on.
                descending = None
                break
        follow = stretch(group, steps, offset, limit, descending=descending)
        if follow is None:
            return None
        return Part([self._id(place) for place in follow.places], follow.skip)

    def change(self, task: TaskState) -> None:
        """Takes in what a task is like now."""
        self.changes += 1
        place = bisect_left(range(len(self)), task.id.bytes, key=self._bytes)
        there = place < len(self) and self._bytes(place) == task.id.bytes
        mask = 1 << place
        if not task.live:
            if there:
                self.live &= ~mask
            return
        if not there:
            self._insert(place, task.id)
        self.live |= mask
        for name in MOMENTS:
            moment = getattr(task, name)
            self.columns[name].put(place, None if moment is None else _number(moment))
        self.columns["priority"].put(place, task.priority)
        self.columns["completed"].put(place, int(task.completed))
        self.columns["title"].put(place, self._title(task.title))
        for sets, held in ((self.labels, task.labels), (self.words, task.words)):
            for name, bits in sets.items():
                if bool(bits & mask) != (name in held):
                    sets[name] = bits ^ mask

    def _title(self, title: str) -> int:
        text, size = title.encode(), len(self._prefix)
        if text[:size] != self._prefix:
            return 0 if text < self._prefix else (1 << 8 * TITLE_BYTES) - 1
        return int.from_bytes(text[size : size + TITLE_BYTES].ljust(TITLE_BYTES, b"\0"), "big")

    def _insert(self, place: int, task_id: UUID) -> None:
        if place < len(self):
            self.live = widened(self.live, place)
            for column in self.columns.values():
                column.widen(place)
            for sets in (self.labels, self.words):
                for name, bits in sets.items():
                    sets[name] = widened(bits, place)
        self.ids[place * _ID : place * _ID] = task_id.bytes

    def _bytes(self, place: int) -> bytes:
        return bytes(self.ids[place * _ID : place * _ID + _ID])

    def _id(self, place: int) -> UUID:
        return UUID(bytes=self._bytes(place))


def _number(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND + _SIGN
