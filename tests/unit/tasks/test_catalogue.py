"""A catalogue says of many tasks what looking at each of them says."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest

from services.tasks.catalogue import order
from services.tasks.catalogue.bits import from_nth, gathered, packed, places, widened
from services.tasks.catalogue.catalogue import Catalogue, TaskState
from services.tasks.catalogue.column import Column
from services.tasks.catalogue.words import Query, found, read_query
from services.tasks.domain import SORTABLE, SortKey

NOW = datetime(2026, 6, 1, tzinfo=UTC)
WORDS = ("report", "budget", "garden")
NOT, AND, OR = 1, 2, 3


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 300])
def test_a_set_holds_its_places(size: int) -> None:
    chance = random.Random(size)
    some = sorted(chance.sample(range(size), size // 2))
    bits = gathered(some, size)
    assert places(bits) == some
    assert packed(bytes(b"01"[place in some] for place in range(size))) == bits
    for start, number in product(range(0, size + 2, 3), (0, 1, 5, size)):
        assert from_nth(bits, start, number) == some[start : start + number]
    for place in range(0, size + 1, 7):
        moved = [one + (one >= place) for one in some]
        assert places(widened(bits, place)) == moved


@pytest.mark.parametrize("width", [1, 3, 8, 64])
def test_a_column_compares_as_its_values_do(width: int) -> None:
    chance = random.Random(width)
    whole = -(-width // 8)
    values: list[int | None] = [chance.randrange(1 << width) for _ in range(50)]
    column = Column(width)
    for byte in range(whole):
        texts = [(value or 0).to_bytes(whole, "big") for value in values]
        column.fill(byte, bytes(text[byte] for text in texts))
    column.known = (1 << len(values)) - 1
    among = chance.getrandbits(len(values))
    for _ in range(30):
        at = chance.randrange(len(values))
        values[at] = chance.choice([None, chance.randrange(1 << width), values[0]])
        column.put(at, values[at])
        limit = values[chance.randrange(len(values))] or 0
        for asked, passes in (
            (column.below, int.__lt__),
            (column.equal, int.__eq__),
            (column.above, int.__gt__),
            (column.at_most, int.__le__),
            (column.at_least, int.__ge__),
        ):
            wanted = [
                place
                for place, value in enumerate(values)
                if among >> place & 1 and value is not None and passes(value, limit)
            ]
            assert places(asked(limit, among)) == wanted


def written(*items: int | str) -> bytes:
    """A query as PostgreSQL writes it."""
    text = len(items).to_bytes(4, "big")
    for item in items:
        text += bytes([2, item]) if isinstance(item, int) else b"\1\0\0" + item.encode() + b"\0"
    return text


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (written("report"), [1, 3]),
        (written(NOT, "report"), [0, 2]),
        (written(AND, "budget", "report"), [3]),
        (written(OR, AND, "budget", NOT, "report", "Größe"), [0, 2]),
        (written(), [0, 1, 2, 3]),
        (written(OR, "unheard", "report"), None),
    ],
    ids=["word", "not", "and", "or", "nothing", "unknown"],
)
def test_a_search_finds_places(text: bytes, wanted: list[int] | None) -> None:
    words = {"report": 0b11010, "budget": 0b01100, "Größe": 0b00001}
    query = read_query(text)
    assert query is not None
    bits = found(query, words, 0b01111)
    assert (None if bits is None else places(bits)) == wanted


@pytest.mark.parametrize(
    "text",
    [b"\0\0\0\3\2\4\0\1\1\0\0b\0\1\0\0a\0", b"\0\0\0\1\1\0\1a\0", b"\0\0\0\1\1\1\0a\0"],
    ids=["phrase", "prefix", "weight"],
)
def test_a_search_for_more_than_words_is_not_known(text: bytes) -> None:
    assert read_query(text) is None


class Tasks:
    """Tasks that change at random, and what looking at each of them says."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.states: dict[uuid.UUID, TaskState] = {}

    def change(self) -> TaskState:
        chance = self.chance
        known = list(self.states)
        new = not known or chance.random() < 0.6
        task_id = uuid.UUID(int=chance.getrandbits(128)) if new else chance.choice(known)
        state = TaskState(
            id=task_id,
            live=chance.random() < 0.8,
            title=chance.choice(["Plan ", "Plane", "Plan 2 and much more of it ", "a"])
            + chance.choice(["", "ä", "x"]),
            completed=chance.random() < 0.5,
            priority=chance.randint(1, 5),
            due_date=chance.choice([None, self._moment(), datetime(1, 1, 1, tzinfo=UTC)]),
            created_at=self._moment(),
            updated_at=self._moment(),
            labels=chance.sample(["x", "y"], chance.randint(0, 2)),
            words=chance.sample(WORDS, chance.randint(0, 3)),
        )
        self.states[task_id] = state
        return state

    def _moment(self) -> datetime:
        return NOW + timedelta(hours=self.chance.randint(-5, 5))

    def passing(self, passes: Callable[[TaskState], bool]) -> list[TaskState]:
        return [state for state in self.states.values() if state.live and passes(state)]


def ordered(states: list[TaskState], sort: Sequence[SortKey]) -> list[TaskState]:
    result = sorted(states, key=lambda state: state.id.bytes, reverse=sort[-1].descending)
    for key in reversed(sort):
        there = [one for one in result if getattr(one, key.field) is not None]
        there.sort(key=lambda one: _comparable(getattr(one, key.field)), reverse=key.descending)
        result = there + [one for one in result if getattr(one, key.field) is None]
    return result


def _comparable(value: Any) -> Any:
    return value.encode() if isinstance(value, str) else value


CASES: tuple[tuple[dict[str, Any], Query | None, Callable[[TaskState], bool]], ...] = (
    ({}, None, lambda _: True),
    ({"completed": False}, None, lambda one: not one.completed),
    ({"priority": 3, "label": "x"}, None, lambda one: one.priority == 3 and "x" in one.labels),
    ({"min_priority": 2, "max_priority": 4}, None, lambda one: 2 <= one.priority <= 4),
    ({"min_priority": 5}, None, lambda one: one.priority == 5),
    ({"due_before": NOW}, None, lambda one: one.due_date is not None and one.due_date < NOW),
    ({"due_after": NOW}, None, lambda one: one.due_date is not None and one.due_date > NOW),
    (
        {"created_after": NOW, "updated_after": NOW - timedelta(hours=2)},
        None,
        lambda one: one.created_at > NOW and one.updated_at > NOW - timedelta(hours=2),
    ),
    (
        {"completed": True, "q": ""},
        (AND, NOT, "garden", "report"),
        lambda one: one.completed and "report" in one.words and "garden" not in one.words,
    ),
)


@pytest.mark.parametrize("few", [0, 3, 32])
def test_a_catalogue_counts_and_orders_as_the_tasks_are(
    few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order, "FEW", few)
    tasks, catalogue = Tasks(few), Catalogue(b"", b"Pl")
    catalogue.labels = {"x": 0, "y": 0}
    catalogue.words = dict.fromkeys(WORDS, 0)
    by_title = 0
    for _ in range(6):
        for _ in range(25):
            catalogue.change(tasks.change())
        for filters, query, passes in CASES:
            group = catalogue.passing(filters, query)
            assert group is not None
            wanted = tasks.passing(passes)
            assert group.bit_count() == len(wanted)
            for _ in range(12):
                sort = [
                    SortKey(field, descending=tasks.chance.random() < 0.5)
                    for field in tasks.chance.sample(SORTABLE, tasks.chance.randint(1, 2))
                ]
                offset, limit = tasks.chance.randint(0, len(wanted)), tasks.chance.randint(1, 9)
                part = catalogue.part(group, sort, offset, limit)
                if part is None:
                    assert "title" in [key.field for key in sort]
                    continue
                by_title += sort[0].field == "title"
                named = ordered([tasks.states[one] for one in part.ids], sort)
                page = named[part.skip : part.skip + limit]
                assert page == ordered(wanted, sort)[offset : offset + limit], (filters, sort)
                assert len(part.ids) <= 2 * few + limit
    assert by_title


def test_what_few_tasks_have_is_not_known() -> None:
    catalogue = Catalogue(b"", b"")
    catalogue.change(Tasks(1).change())
    for filters in ({"label": "rare"}, {"parent_id": uuid.UUID(int=1)}, {"q": "a phrase"}):
        assert catalogue.passing(filters, None) is None
    assert catalogue.passing({"q": "rare"}, ("rare",)) is None
