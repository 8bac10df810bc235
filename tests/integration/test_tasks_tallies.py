"""The counts that are kept equal what counting finds, whatever is written and however."""

import random
from typing import Any

import asyncpg
from aiohttp import ClientSession

from services.tasks.app import build
from services.tasks.settings import Settings
from shared.app import create_app
from shared.server import ApiRunner
from tests import tokens
from tests.service.tasks.client import Client, address_of

_COUNTED = """
    SELECT owner_id, label, completed, priority, count(*) AS tasks
    FROM tasks, unnest(labels || ''::text) AS label WHERE deleted_at IS NULL
    GROUP BY owner_id, label, completed, priority ORDER BY 1, 2, 3, 4
"""
_KEPT = "SELECT * FROM tallies WHERE tasks <> 0 ORDER BY 1, 2, 3, 4"
_WRITES = 120


async def write(client: Client, chance: random.Random, known: list[str]) -> None:
    fields: dict[str, Any] = {
        "priority": chance.randint(1, 5),
        "completed": chance.random() < 0.4,
        "labels": chance.sample(["a", "b", "c"], chance.randint(0, 3)),
    }
    path = f"/v2/tasks/{chance.choice(known)}" if known else ""
    match chance.randint(0, 7) if known else 0:
        case 0 | 1:
            known.append((await client.created(**fields))["id"])
        case 2:
            tasks = [{"title": "bulk", **fields}, {"title": "bulk"}]
            await client.call("POST", "/v2/tasks/bulk", {"tasks": tasks})
        case 3:
            await client.imported(b'{"title": "imported", "labels": ["a"], "completed": true}\n')
        case 4 | 5:
            await client.call("PATCH", path, fields)
        case 6:
            await client.call("DELETE", path)
        case _:
            await client.call("POST", f"{path}/restore")


async def test_kept_counts_are_right(tasks_database_url: str) -> None:
    settings = Settings(database_url=tasks_database_url)
    app = create_app(build(settings, key_source=tokens.Keys(tokens.KEY_ID)), settings)
    runner = ApiRunner(app, shutdown_timeout=1.0)
    await runner.setup()
    connection = await asyncpg.connect(tasks_database_url)
    chance = random.Random(7)
    try:
        async with ClientSession() as session:
            url = await address_of(runner)
            owners = [(Client(session, url), list[str]()) for _ in range(2)]
            for _ in range(_WRITES):
                await write(*turn(chance, owners))
            assert await connection.fetch(_KEPT) == await connection.fetch(_COUNTED)
            for client, known in owners:
                for task_id in known:
                    await client.call("DELETE", f"/v2/tasks/{task_id}")
                rest = (await client.get("/v2/tasks?page_size=100")).data["results"]
                for task in rest:
                    await client.call("DELETE", f"/v2/tasks/{task['id']}")
        assert await connection.fetchval("SELECT count(*) FROM tasks WHERE deleted_at IS NULL") == 0
        # Labels that nobody has, and owners who have nothing, leave nothing behind.
        assert await connection.fetchval("SELECT count(*) FROM tallies") == 0
    finally:
        await connection.close()
        await runner.cleanup()


def turn(
    chance: random.Random, owners: list[tuple[Client, list[str]]]
) -> tuple[Client, random.Random, list[str]]:
    client, known = chance.choice(owners)
    return client, chance, known
