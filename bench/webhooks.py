"""How many deliveries a second one worker makes, with a receiver among them that never answers.

python -m bench.webhooks postgresql://…   (a migrated, empty database of tasks)
"""

from __future__ import annotations

import asyncio
import resource
import sys
import time
import uuid
from collections import Counter

import asyncpg
from aiohttp import web

from services.tasks.settings import Settings
from services.tasks.worker import start_worker

ENDPOINTS, EVENTS = 10, 1_000
_DEAD = "0"
_FILL = (
    "INSERT INTO feeds VALUES ($1, $2::int, 0, 0)",
    """
    INSERT INTO changes SELECT $1, n, new_id(), 'task.created', new_id(), now(),
        '{"title": "A task that somebody is told of"}'::json, NULL
    FROM generate_series(1, $2::int) AS n
    """,
)
_HOOK = """
    INSERT INTO webhooks (id, owner_id, url, events, enabled, created_at, updated_at, secret)
    VALUES (new_id(), $1, $2, ARRAY['task.created'], true, now(), now(), '\\x00')
"""
_QUEUE = """
    INSERT INTO deliveries (webhook_id, owner_id, sequence, event_id, type, task_id)
    SELECT webhooks.id, owner_id, sequence, changes.id, type, task_id
    FROM changes JOIN webhooks USING (owner_id)
"""


async def main(url: str) -> None:
    """Queues all deliveries, then starts the worker and waits for the last good one."""
    counted: Counter[str] = Counter()
    done = asyncio.Event()

    async def take(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        await request.read()
        if name == _DEAD:
            await asyncio.sleep(60)
        counted[name] += 1
        if counted.total() >= (ENDPOINTS - 1) * EVENTS:
            done.set()
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/{name}", take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    connection = await asyncpg.connect(url)
    owner = uuid.uuid4()
    for statement in _FILL:
        await connection.execute(statement, owner, EVENTS)
    for number in range(ENDPOINTS):
        await connection.execute(_HOOK, owner, f"http://127.0.0.1:{port}/{number}")
    await connection.execute(_QUEUE)
    await connection.close()
    settings = Settings(
        database_url=url, worker_ops_port=0, webhooks_allow_private=True, webhooks_poll_seconds=0.05
    )
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    async with start_worker(settings):
        await done.wait()
        seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_SELF)
    delivered = (ENDPOINTS - 1) * EVENTS
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    sys.stdout.write(
        f"{delivered} deliveries to {ENDPOINTS - 1} receivers beside a dead one: "
        f"{delivered / seconds:.0f}/s, {cpu / delivered * 1e6:.0f} us of CPU each, receivers "
        "included\n"
    )
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
