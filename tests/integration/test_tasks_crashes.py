"""kill -9 of the service, of its worker and of PostgreSQL: nothing is lost, nothing done twice."""

import asyncio
import os
import uuid
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
from aiohttp import web

from bench.crash.patience import PATIENCE_SECONDS, until
from bench.crash.programs import Program
from bench.crash.trial import VICTIMS, crash
from services.tasks.webhooks.delivery import AT_ONCE
from tests.ports import free_port
from tests.service.tasks.client import address_of

# `make test` has time for each victim once; TASKLANE_CRASH_ROUNDS=100 takes two minutes.
ROUNDS = int(os.environ.get("TASKLANE_CRASH_ROUNDS", "3"))
EVENTS = 3 * AT_ONCE
QUEUED = (
    "INSERT INTO feeds VALUES ($1, $2::int, 0, 0)",
    """
    INSERT INTO changes SELECT $1, n, new_id(), 'task.created', new_id(), now(), '{}'::json, NULL
    FROM generate_series(1, $2::int) AS n
    """,
    """
    INSERT INTO deliveries (webhook_id, owner_id, sequence, event_id, type, task_id)
    SELECT webhooks.id, owner_id, sequence, changes.id, type, task_id
    FROM changes JOIN webhooks USING (owner_id) WHERE owner_id = $1 AND sequence <= $2::int
    """,
)
PENDING = "SELECT count(*) FROM deliveries WHERE state = 'pending'"
HOOK = """
    INSERT INTO webhooks (id, owner_id, url, events, enabled, created_at, updated_at, secret)
    VALUES (new_id(), $1, $2, ARRAY['task.created'], true, now(), now(), '\\x00')
"""


async def test_kills_lose_nothing_double_nothing_and_skip_nothing(tmp_path: Path) -> None:
    findings = await crash(tmp_path, rounds=ROUNDS, acts=15, seed=ROUNDS)
    assert findings.problems == []
    assert set(findings.kills) == set(VICTIMS)
    assert findings.changes >= 15 * ROUNDS
    assert findings.received >= findings.changes


async def test_two_workers_deliver_what_a_killed_one_had_claimed(
    tasks_database_url: str, tmp_path: Path
) -> None:
    got: Counter[str] = Counter()
    held = asyncio.Event()

    async def take(request: web.Request) -> web.Response:
        got[request.headers["webhook-id"]] += 1
        await held.wait()
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/", take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(runner.cleanup)
        database = await asyncpg.connect(tasks_database_url)
        stack.push_async_callback(database.close)
        owner = uuid.uuid4()
        await database.execute(HOOK, owner, f"{await address_of(runner)}/")
        for statement in QUEUED:
            await database.execute(statement, owner, EVENTS)
        log = stack.enter_context((tmp_path / "workers.log").open("ab"))

        def worker() -> Program:
            port = free_port()
            environment = {
                "TASKS_DATABASE_URL": tasks_database_url,
                "ENVIRONMENT": "development",
                "TASKS_WORKER_OPS_PORT": str(port),
                "WEBHOOKS_ALLOW_PRIVATE": "true",
                "WEBHOOKS_POLL_SECONDS": "0.02",
                "WEBHOOKS_TIMEOUT_SECONDS": "1",
            }
            program = Program("worker", port=port, environment=environment, log=log)
            stack.push_async_callback(program.kill)
            return program

        first = worker()
        await first.start()
        await until(lambda: len(got) == AT_ONCE)
        await first.kill()
        held.set()
        claimed = set(got)
        await asyncio.gather(*(one.start() for one in (worker(), worker())))
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                if not await database.fetchval(PENDING):
                    break
                await asyncio.sleep(0.02)
        states = await database.fetch("SELECT event_id::text, state, attempts FROM deliveries")
    assert {row["state"] for row in states} == {"delivered"}
    assert set(got) == {row["event_id"] for row in states}
    # What was under way at the kill is delivered again, under the same id; nothing else is.
    assert {event for event, times in got.items() if times > 1} == claimed
    assert {row["event_id"] for row in states if row["attempts"] == 2} == claimed
