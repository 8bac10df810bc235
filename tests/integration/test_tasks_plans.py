"""How PostgreSQL goes about every query of tasks when one owner has very many of them.

Each method of each repository is called on a table of that size. What it sends is explained, with
its values and for any values, before it runs; no plan may read all tasks one after the other. The
last test finds every place that sends a statement, so that a new one is not forgotten.
"""

from __future__ import annotations

import ast
import re
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from prometheus_client import CollectorRegistry

from services.tasks import repository
from services.tasks.app import PLANNER
from services.tasks.changes import Change
from services.tasks.domain import BEST_FIRST, NEWEST_FIRST, SORTABLE, SortKey, new_task
from services.tasks.repository.answers import AnswerRepository, KeptAnswer, KeyName
from services.tasks.repository.backlog import BacklogRepository
from services.tasks.repository.catalogues import CatalogueReader, Catalogues
from services.tasks.repository.counts import Counts
from services.tasks.repository.deliveries import DeliveryQueue
from services.tasks.repository.erasure import ErasureRepository
from services.tasks.repository.feed import FeedRepository
from services.tasks.repository.imports import ImportRepository
from services.tasks.repository.lists import FILTERS, TaskLists
from services.tasks.repository.tasks import TaskRepository
from services.tasks.repository.trash import TrashRepository
from services.tasks.repository.webhooks import Webhook, WebhookRepository
from shared.database import Database, Store
from tests.databases import Databases, in_thread

TASKS = 100_000
OWNER, NOBODY = uuid.UUID(int=1), uuid.UUID(int=2)
NOW = datetime(2026, 6, 1, tzinfo=UTC)
_FILL = """
    INSERT INTO tasks (id, owner_id, title, description, priority, due_date, completed, labels,
        external_id, parent_id, version, created_at, updated_at, deleted_at)
    SELECT lpad(to_hex(n), 32, '0')::uuid, $1, 'Task ' || n || ' word' || n % 700,
        'about ' || n % 3,
        1 + n % 5, CASE WHEN n % 7 > 0 THEN now() + n * interval '1 minute' END, n % 3 = 0,
        CASE WHEN n % 2 = 0 THEN ARRAY['label' || n % 20] ELSE '{}' END,
        CASE WHEN n % 2 = 0 THEN 'x' || n END,
        CASE WHEN n % 10 = 1 THEN lpad(to_hex(n - 1), 32, '0')::uuid END, 1,
        now() - n * interval '1 second', now() - n * interval '1 second',
        CASE WHEN n % 50 = 7 THEN now() END
    FROM generate_series(10, $2::int + 9) AS n
"""
_TELL = """
    INSERT INTO changes SELECT owner_id, 1, gen_random_uuid(), 'task.created', id, now(),
        to_json(tasks) FROM tasks WHERE owner_id = $1 LIMIT 1
"""
SENDS = frozenset({"fetch", "fetchrow", "fetchval", "execute"})


async def _fill(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        # Neither triggers nor foreign keys: they would take most of the time.
        await connection.execute("SET session_replication_role = replica")
        await connection.execute(_FILL, OWNER, TASKS)
        await connection.execute("INSERT INTO feeds VALUES ($1, 1, $2, 0)", OWNER, TASKS)
        await connection.execute(_TELL, OWNER)
        await connection.execute("VACUUM ANALYZE tasks")
    finally:
        await connection.close()


@pytest.fixture(scope="module")
def url(databases: Databases) -> Iterator[str]:
    """A database in which one owner has very many tasks."""
    made = databases.fresh("tasks")
    in_thread(_fill(made))
    yield made
    databases.drop(made)


class Explaining:
    """A connection that explains each statement before it runs it."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.plans: list[str] = []

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._connection, name)
        if name not in SENDS:
            return method

        async def explained(query: str, *values: Any) -> Any:
            if query.lstrip().startswith(("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")):
                # The planner may take the values into account, or after a while no longer.
                for mode in ("force_custom_plan", "force_generic_plan"):
                    await self._connection.execute(f"SET LOCAL plan_cache_mode = {mode}")
                    rows = await self._connection.fetch(f"EXPLAIN {query}", *values)
                    self.plans.append("\n".join(row[0] for row in rows))
            return await method(query, *values)

        return explained


class Noting:
    """A connection that notes where in which module it was asked to send something."""

    def __init__(self, connection: Any, noted: set[tuple[str, int]]) -> None:
        self._connection = connection
        self._noted = noted

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._connection, name)

        def sent(*arguments: Any, **options: Any) -> Any:
            caller = sys._getframe(1)
            self._noted.add((caller.f_code.co_filename, caller.f_lineno))
            return method(*arguments, **options)

        return sent if name in SENDS else method


@asynccontextmanager
async def undone(url: str) -> AsyncIterator[Any]:
    """A connection in a transaction that leaves nothing behind."""
    settings = {"jit": "off", "timezone": "UTC", **PLANNER}
    opened = await asyncpg.connect(url, server_settings=settings)
    try:
        transaction = opened.transaction()
        await transaction.start()
        yield opened
        await transaction.rollback()
    finally:
        await opened.close()


@pytest.fixture
async def connection(url: str) -> AsyncIterator[Explaining]:
    async with undone(url) as opened:
        yield Explaining(opened)


TASK = uuid.UUID(int=20)
CHILD = uuid.UUID(int=21)
TRASHED = uuid.UUID(int=57)
HOOK = Webhook(
    uuid.UUID(int=3), OWNER, "https://example.com/", ["task.created"], None, True, None, None,
    NOW, NOW, b"s" * 24, None, None,
)  # fmt: skip


def fresh(**fields: Any) -> Any:
    return new_task(OWNER, {"title": "new", **fields}, NOW)


async def write_tasks(connection: Any) -> None:
    tasks = TaskRepository(connection)
    await tasks.take_turn(OWNER)
    await tasks.take_turn(NOBODY)
    await tasks.create(OWNER, [Change.of(None, fresh()), Change.of(None, fresh())])
    assert await tasks.create_unhindered([Change.of(None, fresh())]) == {OWNER}
    made = fresh(labels=["a"])
    await tasks.add_all([made])
    await tasks.record(OWNER, [Change.of(None, made)])
    before = await tasks.find(OWNER, TASK)
    assert before is not None
    await tasks.save(before, before.changed({"title": "other", "priority": 5}, NOW))
    assert await tasks.live([TASK, CHILD])
    assert await tasks.branch(OWNER, CHILD) == await tasks.ancestors(CHILD) == [CHILD, TASK]
    assert await tasks.named(OWNER, ["x20", "nothing"])
    assert await tasks.height(TASK) == 2
    assert len(await tasks.delete(TASK, NOW)) == 2


async def empty_trash(connection: Any) -> None:
    trash = TrashRepository(connection)
    assert (await trash.page(OWNER, 0, 20))[1]
    found = await trash.find_deleted(OWNER, TRASHED)
    assert found is not None
    assert await trash.deleted_height(found) == 1
    assert await trash.restore(found, None, NOW)
    assert await trash.purge(datetime.now(UTC) + timedelta(days=1), 100) == 100


async def import_tasks(connection: Any) -> None:
    imports = ImportRepository(connection)
    await imports.take_turn(OWNER)
    await imports.wait_long()
    assert len(await imports.known(OWNER, ["x20", str(CHILD), "?"])) == 2
    assert await imports.levels([CHILD]) == {CHILD: 2}
    await imports.add_all([fresh(external_id="imported")])


async def follow_the_feed(connection: Any) -> None:
    feed = FeedRepository(connection)
    await feed.read(OWNER, 0, 100)
    assert await feed.revisions([OWNER, NOBODY])
    await feed.purge(NOW, 100)


async def keep_answers(connection: Any) -> None:
    answers, name = AnswerRepository(connection), KeyName(OWNER, "POST /v2/tasks", "k")
    assert await answers.try_lock(name)
    await answers.keep(name, KeptAnswer(b"f", 201, {}, b"{}"), NOW)
    assert await answers.find(name, NOW - timedelta(days=1))
    await answers.purge(NOW, 100)


async def tell_webhooks(connection: Any) -> None:
    hooks, queue = WebhookRepository(connection), DeliveryQueue(connection)
    await hooks.hold_owner(OWNER)
    await hooks.add(HOOK)
    await hooks.of_owner(OWNER)
    await hooks.find(OWNER, HOOK.id, lock=True)
    await hooks.save(HOOK.id, {"description": "d"})
    await hooks.save_secrets(await hooks.secrets_after(uuid.UUID(int=0), 10))
    test = await hooks.add_test(HOOK, uuid.uuid4(), "test")
    await queue.waiting([], 10)
    (claim,) = await queue.claim(HOOK.id, 10, timedelta(seconds=30))
    await queue.failed(claim, 500, "no", 5.0)
    await queue.delivered(HOOK.id, [test.id], [200])
    await queue.endpoint_failed(HOOK.id, gone=False, give_up=timedelta(days=1))
    await hooks.deliveries(HOOK.id, None, 0, 10)
    await hooks.redeliver(OWNER, test.id)
    await hooks.redeliver_range(HOOK.id, NOW, NOW, ["dead"], 10)
    await BacklogRepository(connection).standing()
    await queue.purge(NOW, 100)
    await hooks.delete(OWNER, HOOK.id)


async def erase(connection: Any) -> None:
    erasures = ErasureRepository(connection)
    await erasures.move(await erasures.position() + 1)
    await erasures.add([OWNER], NOW, NOW)
    await erasures.waiting(NOW)
    assert await erasures.take(NOW)
    assert await erasures.remove(OWNER, 500) == 500
    await erasures.wait(OWNER, NOW)
    await erasures.finish(OWNER)


async def export(connection: Any) -> None:
    lists = TaskLists(connection, Counts())
    await lists.secret("cursors")
    batch = await lists.export(OWNER, None, 50)
    assert await lists.export(OWNER, (batch[-1].created_at, batch[-1].id), 50)


VALUES: Mapping[str, Any] = {
    "completed": True, "priority": 3, "min_priority": 2, "max_priority": 4, "due_before": NOW,
    "due_after": NOW, "created_after": NOW, "updated_after": NOW, "label": "label4",
    "parent_id": TASK, "q": "word5",
}  # fmt: skip


async def filter_tasks(connection: Any) -> None:
    assert VALUES.keys() == FILTERS
    wanted: list[dict[str, Any]] = [{name: value} for name, value in VALUES.items()]
    wanted += [{}, {"q": "about"}, {"q": "-nothing"}, {"completed": False, "label": "label4"}]
    for filters in wanted:
        await look(connection, filters, NEWEST_FIRST)
    for words in ("word5", "about"):
        await look(connection, {"q": words}, BEST_FIRST)


async def sort_tasks(connection: Any) -> None:
    for field, descending in product(SORTABLE, (False, True)):
        await look(connection, {}, (SortKey(field, descending),))
        await look(connection, {}, (SortKey("priority", descending), SortKey(field)))


async def catalogue_tasks(connection: Any) -> None:
    catalogues = Catalogues(
        Store(Database("", CollectorRegistry(), application="t"), CatalogueReader)
    )
    reader = CatalogueReader(connection)
    made = await reader.read(OWNER)
    assert made is not None
    catalogues.hold(OWNER, made)
    lists = TaskLists(connection, Counts(), catalogues)
    for words in ("about", "about -2"):
        assert (await lists.page(OWNER, {"q": words}, BEST_FIRST, offset=50_000, limit=9)).tasks
    # More than a few are alike in what is known of a title.
    by_title = (SortKey("title"),)
    assert (await lists.page(OWNER, {}, by_title, offset=50_000, limit=9)).tasks
    await write_tasks(connection)
    assert (await lists.page(OWNER, {"due_after": NOW}, NEWEST_FIRST, offset=9, limit=9)).tasks
    assert catalogues.get(OWNER) is made


async def look(connection: Any, filters: dict[str, Any], sort: tuple[SortKey, ...]) -> None:
    """The same page three ways: as a page, as one whose count is known, as a walk."""
    lists = TaskLists(connection, Counts())
    for _ in range(2):
        page = await lists.page(OWNER, filters, sort, offset=2, limit=3)
    first = await lists.walk(OWNER, filters, sort, after=None, limit=3)
    if first.tasks:
        last = first.tasks[-1]
        known = {"relevance": first.relevance[-1]} if first.relevance else {}
        place = [known.get(key.field, getattr(last, key.field, None)) for key in first.sort]
        await lists.walk(OWNER, filters, first.sort, after=[*place, last.id], limit=3)
    assert len(first.tasks) <= 3 >= len(page.tasks)


CASES: tuple[Callable[[Any], Awaitable[None]], ...] = (
    write_tasks, empty_trash, import_tasks, follow_the_feed, keep_answers, tell_webhooks, erase,
    export, filter_tasks, sort_tasks, catalogue_tasks,
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_no_query_reads_all_tasks(
    connection: Explaining, case: Callable[[Any], Awaitable[None]]
) -> None:
    await case(connection)
    assert connection.plans
    bad = [plan for plan in connection.plans if re.search(r"Seq Scan on tasks\b", plan)]
    assert bad == []


async def test_words_are_found_by_their_index_alone(connection: Explaining) -> None:
    await connection.execute("SET LOCAL enable_seqscan = off")
    await connection.execute("SET LOCAL enable_indexscan = off")
    await connection.fetch(
        "SELECT id FROM tasks WHERE search @@ $1::text::tsquery AND deleted_at IS NULL LIMIT 9",
        "word5",
    )
    assert all("Bitmap Index Scan on tasks_by_word" in plan for plan in connection.plans)


def statements() -> set[tuple[str, int, int]]:
    """Where the repository sends something: a module's path, the first and the last line."""
    return {
        (str(module), node.lineno, node.end_lineno or node.lineno)
        for module in Path(repository.__path__[0]).glob("*.py")
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in SENDS
    }


async def test_every_statement_of_the_repository_is_explained(url: str) -> None:
    noted: set[tuple[str, int]] = set()
    for case in CASES:
        async with undone(url) as opened:
            await case(Noting(opened, noted))
    there = statements()
    assert len(there) > 40
    sent = {
        (path, first, last)
        for path, first, last in there
        for name, line in noted
        if name == path and first <= line <= last
    }
    assert there - sent == set()
