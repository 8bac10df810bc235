"""A count that is moved by the changes since is the count that there is."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from services.tasks.app import PLANNER
from services.tasks.changes import Change
from services.tasks.domain import BEST_FIRST, NEWEST_FIRST, new_task
from services.tasks.repository import counts as counts_module
from services.tasks.repository import lists as lists_module
from services.tasks.repository.counts import SEARCHED, Counts
from services.tasks.repository.lists import TaskLists
from services.tasks.repository.tasks import TaskRepository
from tests.integration.task_writer import NOW, OWNER, Writer

FILTERS: tuple[dict[str, Any], ...] = (
    {"due_before": NOW}, {"due_after": NOW}, {"created_after": NOW}, {"updated_after": NOW},
    {"due_before": NOW, "completed": True}, {"label": "x", "due_after": NOW - timedelta(days=3)},
    {"min_priority": 3, "max_priority": 4, "created_after": NOW - timedelta(days=2)},
    {"priority": 2, "due_before": NOW + timedelta(days=2)},
)  # fmt: skip
SEARCHES: tuple[dict[str, Any], ...] = (
    {"q": "report"}, {"q": "-report"}, {"q": "path", "completed": False}, {"q": "report or b"},
)  # fmt: skip


@pytest.fixture
async def connection(tasks_database_url: str) -> AsyncIterator[Any]:
    settings = {"jit": "off", "timezone": "UTC", **PLANNER}
    opened = await asyncpg.connect(tasks_database_url, server_settings=settings)
    yield opened
    await opened.close()


async def count(connection: Any, counts: Counts, filters: dict[str, Any]) -> int:
    if "q" in filters:
        # Few tasks with the words would be looked at one by one.
        counts.found_common(OWNER, filters["q"])
    lists = TaskLists(connection, counts)
    return (await lists.page(OWNER, filters, NEWEST_FIRST, offset=0, limit=1)).total


async def test_a_moved_count_is_the_count(connection: Any) -> None:
    writer, counts = Writer(connection, 20), Counts()
    for _ in range(25):
        for _ in range(random.Random(7).randint(1, 6)):
            await writer.write()
        for filters in (*FILTERS, *SEARCHES):
            assert await count(connection, counts, filters) == await count(
                connection, Counts(), filters
            ), filters


async def test_what_is_known_of_words_changes_no_page(
    connection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Words go from rare to common and back, and with them the order of what was found."""
    monkeypatch.setattr(lists_module, "_FEW", 4)
    writer, known = Writer(connection, 5), Counts()
    orders = set()
    for _ in range(25):
        await writer.write()
        for filters in SEARCHES:
            pages = [
                await TaskLists(connection, counts).page(
                    OWNER, filters, BEST_FIRST, offset=0, limit=9
                )
                for counts in (known, Counts())
            ]
            assert pages[0].tasks == pages[1].tasks
            assert pages[0][:2] == pages[1][:2]
            orders.add(tuple(pages[0].sort))
    assert len(orders) == 2


@pytest.mark.parametrize("most", [0, 3, 5_000])
async def test_those_left_out_tell_how_many_are_left(
    connection: Any, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(counts_module, "MOST_LEFT_OUT", most)
    writer = Writer(connection, 4)
    for _ in range(30):
        await writer.write()
    for hours in (-999, -50, 0, 50, 999):
        for name in ("created_after", "updated_after"):
            filters = {name: NOW + timedelta(hours=hours)}
            # With another filter, one that all tasks pass, they are counted one by one.
            slowly = await count(connection, Counts(), {**filters, "min_priority": 1})
            assert await count(connection, Counts(), filters) == slowly, (filters, slowly)


async def test_a_kept_count_is_not_made_again(connection: Any) -> None:
    writer, counts = Writer(connection, 1), Counts()
    for _ in range(30):
        await writer.write()
    filters = {"due_before": NOW + timedelta(days=99)}
    there = await count(connection, counts, filters)
    # A task that no change tells of is not seen: it shows where the number comes from.
    await connection.execute("DELETE FROM tasks WHERE due_date IS NOT NULL AND deleted_at IS NULL")
    assert await count(connection, counts, filters) == there > 0
    assert await count(connection, Counts(), filters) == 0


@pytest.mark.parametrize(
    "other_history",
    [
        "UPDATE changes SET id = gen_random_uuid()",
        "DELETE FROM changes",
        """INSERT INTO changes SELECT owner_id, sequence + n, gen_random_uuid(), type, task_id, at,
            task, previous FROM changes, generate_series(1, 300) AS n WHERE sequence = 1""",
    ],
    ids=["another", "not kept", "too long"],
)
async def test_a_history_that_does_not_tell_is_counted_again(
    connection: Any, other_history: str
) -> None:
    counts = Counts()
    tasks = [new_task(OWNER, {"title": "a", "due_date": NOW}, NOW) for _ in range(3)]
    await TaskRepository(connection).create(OWNER, [Change.of(None, tasks[0])])
    filters = {"due_before": NOW + timedelta(days=1)}
    assert await count(connection, counts, filters) == 1
    await connection.execute("DELETE FROM tasks")
    await connection.execute(other_history)
    assert await count(connection, counts, filters) == 0


async def test_what_is_searched_in_a_change_is_what_is_searched_in_a_task(connection: Any) -> None:
    writer = Writer(connection, 3)
    for _ in range(30):
        await writer.write()
    made = SEARCHED.format(title="title", description="description")
    query = f"SELECT count(*) FILTER (WHERE search <> {made}), count(*) FROM tasks"
    different, there = await connection.fetchrow(query + " WHERE owner_id = $1", OWNER)
    assert (different, there > 5) == (0, True)
