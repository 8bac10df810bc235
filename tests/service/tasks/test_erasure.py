"""What belonged to a deleted account goes, all of it and nothing else."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from prometheus_client import CollectorRegistry

from services.tasks.repository.erasure import OWNED, ErasureRepository
from services.tasks.usecases.erasure import (
    BATCH,
    LATE_WRITERS,
    Erasures,
    erase_some,
    position,
    take_over,
    waiting,
)
from shared.clock import utc_now
from shared.database import Database, Store
from tests.service.tasks.client import Client

# Whom a row belongs to is named by one of these, whatever a table is about.
OWNER_COLUMNS = ("owner_id", "caller_id", "user_id")
HOOK = {"url": "https://example.com/hook", "events": ["task.created", "task.deleted"]}


@pytest.fixture
async def erasures(tasks_database_url: str) -> Any:
    database = Database(tasks_database_url, CollectorRegistry(), application="erasures")
    await database.open()
    yield Store(database, ErasureRepository)
    await database.close()


async def run(erasures: Erasures, *, days: float = 0) -> int:
    """Erases until it is nobody's turn; how many rows went."""
    removed = 0
    while (count := await erase_some(erasures, utc_now() + timedelta(days=days))) is not None:
        removed += count
    return removed


async def sql(url: str, statement: str, *arguments: Any) -> list[Any]:
    connection = await asyncpg.connect(url)
    try:
        rows: list[Any] = await connection.fetch(statement, *arguments)
        return rows
    finally:
        await connection.close()


async def owned(url: str) -> dict[str, str]:
    """The tables with a column that names an owner, by that column; not those about erasing."""
    rows = await sql(
        url,
        "SELECT table_name, column_name FROM information_schema.columns"
        " WHERE table_schema = 'public' AND column_name = ANY($1)",
        OWNER_COLUMNS,
    )
    return {row[0]: row[1] for row in rows if row[0] != "erasures"}


async def left(url: str, person: Client) -> dict[str, int]:
    """How many rows a person has, by table."""
    found = {}
    for table, column in (await owned(url)).items():
        [row] = await sql(
            url,
            f"SELECT count(*) FROM {table} WHERE {column} = $1",
            uuid.UUID(person.user_id),
        )
        found[table] = row[0]
    return found


async def fill(person: Client) -> None:
    """One of everything that a person may have."""
    hook = await person.call("POST", "/v2/webhooks", HOOK)
    assert hook.status == 201, hook.body
    assert (await person.call("POST", f"/v2/webhooks/{hook.data['id']}/test")).status < 300
    parent = await person.created(title="Parent")
    await person.created(title="Child", parent_id=parent["id"])
    gone = await person.created(title="In the trash")
    assert (await person.call("DELETE", f"/v2/tasks/{gone['id']}")).status == 204
    kept = await person.call(
        "POST", "/v2/tasks", {"title": "Once"}, headers={"Idempotency-Key": "key-1"}
    )
    assert kept.status == 201
    imported = await person.call(
        "POST",
        "/v2/tasks/import?format=jsonl",
        body=b'{"title": "Imported", "external_id": "x-1"}\n',
        headers={"Content-Type": "application/x-ndjson"},
    )
    assert imported.data["imported"] == 1


async def test_every_table_that_names_an_owner_is_emptied(tasks_database_url: str) -> None:
    """A table that is added must be added to what goes, or this fails."""
    assert {table for table, _ in OWNED} == set(await owned(tasks_database_url))


async def test_all_of_the_one_goes_and_nothing_of_the_other(
    ann: Client, bob: Client, erasures: Erasures, tasks_database_url: str
) -> None:
    for person in (ann, bob):
        await fill(person)
    before = await left(tasks_database_url, bob)
    assert 0 not in before.values(), before
    await take_over(erasures, [uuid.UUID(ann.user_id)], 7, utc_now())
    assert await position(erasures) == 7
    assert await waiting(erasures, utc_now()) == 1
    # The tallies go with the tasks that they count.
    assert await run(erasures) >= sum(before.values()) - before["tallies"]
    assert set((await left(tasks_database_url, ann)).values()) == {0}
    assert await left(tasks_database_url, bob) == before
    assert await waiting(erasures, utc_now()) == 0
    # The same page once more, as after a crash or a restored backup.
    await take_over(erasures, [uuid.UUID(ann.user_id)], 7, utc_now())
    await run(erasures)
    assert await left(tasks_database_url, bob) == before


async def test_what_a_late_writer_left_goes_in_the_end(
    ann: Client, erasures: Erasures, tasks_database_url: str
) -> None:
    await take_over(erasures, [uuid.UUID(ann.user_id)], 1, utc_now())
    await run(erasures)
    await fill(ann)
    assert await run(erasures) == 0
    assert timedelta(days=1) > LATE_WRITERS
    assert await run(erasures, days=1) > 0
    assert set((await left(tasks_database_url, ann)).values()) == {0}
    assert await sql(tasks_database_url, "SELECT 1 FROM erasures") == []


async def begin_and_die(erasures: Erasures) -> None:
    """Removes a batch without committing it, while another worker looks for work."""
    async with erasures.begin() as repository:
        taken = await repository.take(utc_now())
        assert taken is not None
        await repository.remove(taken.owner_id, BATCH)
        assert await erase_some(erasures, utc_now()) is None
        raise RuntimeError


async def test_many_rows_go_in_batches_and_an_interruption_loses_nothing(
    ann: Client, erasures: Erasures, tasks_database_url: str
) -> None:
    await sql(
        tasks_database_url,
        "INSERT INTO tasks (id, owner_id, title, priority, completed, labels, version, created_at,"
        " updated_at, deleted_at) SELECT gen_random_uuid(), $1, 't', 1, false, '{}', 1, now(),"
        " now(), CASE WHEN n % 2 = 0 THEN now() END FROM generate_series(1, $2::int) n",
        uuid.UUID(ann.user_id),
        2 * BATCH,
    )
    await take_over(erasures, [uuid.UUID(ann.user_id)], 1, utc_now())
    assert await erase_some(erasures, utc_now()) == BATCH
    with pytest.raises(RuntimeError):
        await begin_and_die(erasures)
    assert (await left(tasks_database_url, ann))["tasks"] == BATCH
    assert await erase_some(erasures, utc_now()) == BATCH
    await run(erasures)
    assert set((await left(tasks_database_url, ann)).values()) == {0}


async def test_no_look_for_what_is_owned_reads_a_whole_table(tasks_database_url: str) -> None:
    await sql(
        tasks_database_url,
        "INSERT INTO tasks (id, owner_id, title, priority, completed, labels, version, created_at,"
        " updated_at, deleted_at) SELECT gen_random_uuid(), gen_random_uuid(), 't', 1, false, '{}',"
        " 1, now(), now(), CASE WHEN n % 2 = 0 THEN now() END FROM generate_series(1, 3000) n",
    )
    await sql(
        tasks_database_url,
        "INSERT INTO changes SELECT owner_id, 1, gen_random_uuid(), 'task.created', id, now(), '{}'"
        " FROM tasks",
    )
    await sql(
        tasks_database_url,
        "INSERT INTO idempotent_answers SELECT owner_id, 'POST', id::text, '', 201, '{}', '', now()"
        " FROM tasks",
    )
    await sql(tasks_database_url, "ANALYZE")
    for table, condition in OWNED:
        named = condition.replace("$1", f"'{uuid.uuid4()}'")
        plan = "\n".join(
            row[0]
            for row in await sql(
                tasks_database_url,
                f"EXPLAIN SELECT ctid FROM {table} WHERE {named} LIMIT 500",
            )
        )
        if table in ("tasks", "changes", "idempotent_answers"):
            assert "Seq Scan" not in plan, plan
