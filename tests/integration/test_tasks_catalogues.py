"""A catalogue shows the page that the database shows, whatever has been written, and by whom."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from prometheus_client import CollectorRegistry

from services.tasks.app import PLANNER
from services.tasks.catalogue import order as order_module
from services.tasks.domain import BEST_FIRST, NEWEST_FIRST, SORTABLE, SortKey, new_task
from services.tasks.repository import catalogues as catalogues_module
from services.tasks.repository import lists as lists_module
from services.tasks.repository.catalogues import CatalogueReader, Catalogues
from services.tasks.repository.counts import Counts
from services.tasks.repository.erasure import ErasureRepository
from services.tasks.repository.feed import FeedRepository, sequence_of
from services.tasks.repository.imports import ImportRepository
from services.tasks.repository.lists import TaskLists
from services.tasks.repository.parts import Counted
from shared.database import Database, Store
from tests.integration.task_writer import NOW, OWNER, Writer

FILTERS: tuple[dict[str, Any], ...] = (
    {}, {"completed": False}, {"priority": 2, "label": "x"}, {"min_priority": 2, "label": "none"},
    {"due_before": NOW}, {"due_after": NOW}, {"created_after": NOW}, {"updated_after": NOW},
    {"due_before": NOW, "due_after": NOW - timedelta(days=2), "completed": True},
    {"q": "report"}, {"q": "-report"}, {"q": "path", "completed": False}, {"q": "report or b"},
    {"q": "\"a b\""}, {"q": "..."}, {"q": "größe", "max_priority": 4},
)  # fmt: skip
# Revisions that were met, which a request may still believe in.
SEEN: list[str] = []


@pytest.fixture
async def database(tasks_database_url: str) -> AsyncIterator[Database]:
    opened = Database(tasks_database_url, CollectorRegistry(), application="t", planner=PLANNER)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is for very many tasks happens to a handful."""
    monkeypatch.setattr(order_module, "FEW", 3)
    monkeypatch.setattr(lists_module, "_FEW", 2)
    monkeypatch.setattr(lists_module, "_NEAR", 4)
    SEEN.clear()


def new_catalogues(database: Database) -> Catalogues:
    return Catalogues(Store(database, CatalogueReader), smallest=0)


async def make(catalogues: Catalogues) -> None:
    """Makes the owner's catalogue, though the last one was made a moment ago."""
    catalogues._resting.clear()
    catalogues.want(OWNER, 1)
    await catalogues.made()
    assert catalogues.get(OWNER) is not None


async def pages(
    connection: Any, catalogues: Catalogues | None, chance: random.Random
) -> AsyncIterator[tuple[object, Counted]]:
    """A page of each filter, in an order that is drawn."""
    believing = random.Random(len(SEEN))
    for filters in FILTERS:
        fields = chance.sample(SORTABLE, chance.randint(1, 3))
        sort: Any = [SortKey(field, descending=chance.random() < 0.5) for field in fields]
        if "q" in filters and chance.random() < 0.5:
            sort = BEST_FIRST
        offset, limit = chance.randint(0, 12), chance.randint(1, 6)
        lists = TaskLists(connection, Counts(), catalogues)
        seen = believing.choice(["0", "1.1", *SEEN[-3:]])
        page = await lists.page(OWNER, filters, sort, offset=offset, limit=limit, seen=seen)
        SEEN.append(page.revision)
        yield (filters, sort, offset, limit), page


async def compare(connection: Any, catalogues: Catalogues, seed: int) -> None:
    """Nobody may write meanwhile."""
    shown = [one async for one in pages(connection, catalogues, random.Random(seed))]
    told = [one async for one in pages(connection, None, random.Random(seed))]
    for (asked, one), (_, other) in zip(shown, told, strict=True):
        assert one.tasks == other.tasks, asked
        assert (one.revision, one.total) == (other.revision, other.total), asked
        assert tuple(one.sort) == tuple(other.sort), asked


async def test_what_is_written_moves_a_catalogue(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalogues = new_catalogues(database)
    async with database.connection() as connection:
        writer = Writer(connection, 11)
        for _ in range(20):
            await writer.write()
        await make(catalogues)
        made = catalogues.get(OWNER)
        for seed in range(20):
            for _ in range(random.Random(seed).randint(0, 5)):
                await writer.write()
            await compare(connection, catalogues, seed)
        # It is the same one, and not made again, until it has changed through and through.
        assert catalogues.get(OWNER) is made
        monkeypatch.setattr(catalogues_module, "SMALLEST", 20)
        await writer.write()
        await compare(connection, catalogues, 20)
        assert catalogues.get(OWNER) is None
    await catalogues.close()


async def test_pages_are_of_one_state_while_others_write(
    database: Database, tasks_database_url: str
) -> None:
    """Two processes with a catalogue each, and two writers that do not wait for them."""
    processes = [new_catalogues(database), new_catalogues(database)]
    writing = [await asyncpg.connect(tasks_database_url) for _ in processes]
    async with database.connection() as connection:
        writer = Writer(connection, 3)
        for _ in range(20):
            await writer.write()
    for catalogues in processes:
        await make(catalogues)

    async def write(writer: Writer) -> None:
        for _ in range(40):
            await writer.write()

    async def look(catalogues: Catalogues, seed: int) -> None:
        async with database.connection() as connection:
            async for asked, page in pages(connection, catalogues, random.Random(seed)):
                again = await count_at(connection, asked, page.revision)
                assert again in (None, page.total), asked

    async def count_at(connection: Any, asked: Any, revision: str) -> int | None:
        """How many tasks passed at that revision, None when there is another one by now."""
        filters = asked[0]
        page = await TaskLists(connection, Counts()).page(
            OWNER, filters, NEWEST_FIRST, offset=0, limit=1
        )
        return page.total if page.revision == revision else None

    await asyncio.gather(
        *(write(Writer(connection, seed)) for seed, connection in enumerate(writing)),
        *(look(catalogues, seed) for catalogues in processes for seed in range(4)),
    )
    async with database.connection() as connection:
        for catalogues in processes:
            await make(catalogues)
            await compare(connection, catalogues, 1)
            await catalogues.close()
    for connection in writing:
        await connection.close()


@pytest.mark.parametrize(
    "other_history",
    [
        "UPDATE changes SET id = gen_random_uuid()",
        "DELETE FROM changes",
        """INSERT INTO changes SELECT owner_id, sequence + n, gen_random_uuid(), type, task_id, at,
            task, previous FROM changes, generate_series(1, 300) AS n WHERE sequence = (
                SELECT max(sequence) FROM changes)""",
        """INSERT INTO changes SELECT owner_id, sequence + 2, gen_random_uuid(), type, task_id, at,
            task, previous FROM changes WHERE sequence = (SELECT max(sequence) FROM changes)""",
    ],
    ids=["another", "not kept", "too long", "gap"],
)
async def test_after_a_history_that_does_not_tell_the_database_is_asked(
    database: Database, monkeypatch: pytest.MonkeyPatch, other_history: str
) -> None:
    monkeypatch.setattr(catalogues_module, "_MOST_CHANGES", 200)
    catalogues = new_catalogues(database)
    async with database.connection() as connection:
        writer = Writer(connection, 5)
        for _ in range(15):
            await writer.write()
        await make(catalogues)
        await connection.execute("UPDATE tasks SET deleted_at = now() WHERE completed")
        await connection.execute(other_history)
        await connection.execute(
            "UPDATE feeds SET live = live - 1, "
            "sequence = coalesce((SELECT max(sequence) FROM changes), sequence)"
        )
        await compare(connection, catalogues, 2)
        assert catalogues.get(OWNER) is None
    await catalogues.close()


async def test_one_that_is_far_behind_is_moved_by_several_requests(database: Database) -> None:
    catalogues = new_catalogues(database)
    async with database.connection() as connection:
        writer = Writer(connection, 12)
        for _ in range(10):
            await writer.write()
        await make(catalogues)
        made = catalogues.get(OWNER)
        assert made is not None
        while sequence_of(await revision(connection)) - sequence_of(made.revision) < 400:
            await writer.write()
        lists = TaskLists(connection, Counts(), catalogues)
        for number in range(3):
            assert made.behind == (number > 0)
            page = await lists.page(OWNER, {"completed": True}, NEWEST_FIRST, offset=0, limit=3)
            told = await TaskLists(connection, Counts()).page(
                OWNER, {"completed": True}, NEWEST_FIRST, offset=0, limit=3
            )
            assert (page.tasks, page.total) == (told.tasks, told.total)
        await compare(connection, catalogues, 12)
        assert catalogues.get(OWNER) is made
        assert made.revision == await revision(connection)
    await catalogues.close()


async def revision(connection: Any) -> str:
    return (await FeedRepository(connection).revisions([OWNER]))[OWNER]


async def test_an_owner_without_changes_that_are_kept_has_a_catalogue(database: Database) -> None:
    """Whose tasks are older than the feed reaches back; the first change ends it."""
    catalogues = new_catalogues(database)
    async with database.connection() as connection:
        writer = Writer(connection, 6)
        for _ in range(15):
            await writer.write()
        await connection.execute("DELETE FROM changes")
        await make(catalogues)
        await compare(connection, catalogues, 3)
        assert catalogues.get(OWNER) is not None
        await writer.write()
        await writer.write()
        await compare(connection, catalogues, 4)
    await catalogues.close()


async def test_imports_and_the_end_of_an_owner_move_a_catalogue(database: Database) -> None:
    catalogues = new_catalogues(database)
    async with database.connection() as connection:
        writer = Writer(connection, 7)
        for _ in range(10):
            await writer.write()
        await make(catalogues)
        fields = [{**writer.fields(), "external_id": str(n)} for n in range(30)]
        async with connection.transaction():
            imports = ImportRepository(connection)
            await imports.take_turn(OWNER)
            await imports.add_all([new_task(OWNER, one, NOW) for one in fields])
        await compare(connection, catalogues, 5)
        assert catalogues.get(OWNER) is not None
        while True:
            async with connection.transaction():
                removed = await ErasureRepository(connection).remove(OWNER, 7)
            await compare(connection, catalogues, 6)
            if removed < 7:
                break
    await catalogues.close()


async def test_a_request_that_leaves_halfway_leaves_no_half_moved_catalogue(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogues_module, "_TURN", 1)
    catalogues = new_catalogues(database)
    async with database.connection() as connection:
        writer = Writer(connection, 8)
        for _ in range(10):
            await writer.write()
        await make(catalogues)
        for _ in range(10):
            await writer.write()
        catalogue = catalogues.get(OWNER)
        assert catalogue is not None
        moving = asyncio.create_task(catalogues.move(connection, OWNER, catalogue))
        for _ in range(10_000):
            if not catalogue.revision:
                break
            await asyncio.sleep(0)
        # Nobody sees it meanwhile, and nobody afterwards.
        assert catalogues.get(OWNER) is None
        moving.cancel()
        await asyncio.wait([moving])
        await make(catalogues)
        assert catalogues.get(OWNER) is not catalogue
        await compare(connection, catalogues, 8)
    await catalogues.close()


async def test_catalogues_have_bounds(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    catalogues = Catalogues(Store(database, CatalogueReader), smallest=5)
    async with database.connection() as connection:
        writer = Writer(connection, 9)
        while len(writer._live) < 6:
            await writer.write()
    catalogues.want(OWNER, 4)
    await catalogues.made()
    assert catalogues.get(OWNER) is None
    catalogues.want(OWNER, catalogues_module.LARGEST + 1)
    await catalogues.made()
    assert catalogues.get(OWNER) is None
    catalogues.want(OWNER, 6)
    await catalogues.made()
    first = catalogues.get(OWNER)
    assert first is not None
    # One that has been dropped is not made again at once.
    catalogues._held.clear()
    catalogues.want(OWNER, 6)
    await catalogues.made()
    assert catalogues.get(OWNER) is None
    monkeypatch.setattr(catalogues_module, "_MOST_TASKS", 3)
    await make_small(catalogues)
    await catalogues.close()


async def make_small(catalogues: Catalogues) -> None:
    catalogues._resting.clear()
    catalogues.want(OWNER, 6)
    await catalogues.made()
    assert catalogues.get(OWNER) is None
