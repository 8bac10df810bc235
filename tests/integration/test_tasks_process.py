"""Tasks and its worker as the processes that an operator runs, and their dependencies failing."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg
import pytest
from aiohttp import ClientConnectionError, ClientSession, web

from tests import tokens
from tests.ports import free_port
from tests.postgres_proxy import proxied
from tests.sealing import OLD
from tests.service.tasks.client import Client

NEW = {"title": "t"}
_UNUSED_KEYS = "http://127.0.0.1:9/keys"
DELETED = """
    INSERT INTO tasks (id, owner_id, title, priority, completed, labels, version,
        created_at, updated_at, deleted_at)
    SELECT gen_random_uuid(), gen_random_uuid(), coalesce(kind.age::text, 'live'), 1, false,
        '{}', 1, now(), now(), now() - kind.age
    FROM (VALUES ('31 days'::interval), ('29 days'), (NULL)) AS kind (age),
        generate_series(1, 600)
"""


def environment(database_url: str, **more: str) -> dict[str, str]:
    return {
        **os.environ,
        "TASKS_DATABASE_URL": database_url,
        "AUTH_JWKS_URL": _UNUSED_KEYS,
        "ENVIRONMENT": "development",
        # Somebody may have a system of his own on this machine.
        "TASKS_PORT": str(free_port()),
        "TASKS_OPS_PORT": str(free_port()),
        **more,
    }


def command(database_url: str, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Runs `python -m services.tasks` with `arguments` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "services.tasks", *arguments],
        env=environment(database_url, **more),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@dataclass
class Process:
    """A process that is ready."""

    url: str
    ops_url: str
    session: ClientSession

    async def report(self) -> tuple[int, dict[str, str]]:
        """Status of the health report, and that of each check."""
        async with self.session.get(f"{self.ops_url}/health") as answer:
            data = await answer.json()
            return answer.status, {name: seen["status"] for name, seen in data["checks"].items()}

    async def metrics(self) -> str:
        async with self.session.get(f"{self.ops_url}/metrics") as answer:
            return await answer.text()


@asynccontextmanager
async def running(database_url: str, *arguments: str, **more: str) -> AsyncIterator[Process]:
    """A process that answers; it is ended by SIGTERM and must then exit with 0."""
    port, ops_port = free_port(), free_port()
    ports = {name: str(ops_port) for name in ("TASKS_OPS_PORT", "TASKS_WORKER_OPS_PORT")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.tasks",
        *arguments,
        env=environment(database_url, TASKS_PORT=str(port), **ports, **more),
        stdout=asyncio.subprocess.DEVNULL,
    )
    ops_url = f"http://127.0.0.1:{ops_port}"
    try:
        async with ClientSession() as session:
            url = f"http://127.0.0.1:{port}"
            await alive(session, ops_url if arguments else url, process)
            yield Process(url, ops_url, session)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            code = await process.wait()
    assert code == 0


async def alive(session: ClientSession, url: str, process: asyncio.subprocess.Process) -> None:
    for _ in range(600):
        assert process.returncode is None
        try:
            async with session.get(f"{url}/health/live"):
                return
        except ClientConnectionError:
            await asyncio.sleep(0.05)
    pytest.fail("tasks did not start")


@asynccontextmanager
async def key_server() -> AsyncIterator[tuple[str, web.AppRunner]]:
    """Stands for auth: its URL of the key set, and the runner to stop it by."""

    async def keys(_request: web.Request) -> web.Response:
        return web.Response(body=tokens.key_set(tokens.KEY_ID))

    app = web.Application()
    app.router.add_get("/keys", keys)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"http://127.0.0.1:{port}/keys", runner
    finally:
        await runner.cleanup()


async def until_status(client: Client, path: str, status: int) -> None:
    """Asks until the answer has `status`."""
    for _ in range(200):
        if (await client.get(path)).status == status:
            return
        await asyncio.sleep(0.05)
    pytest.fail(f"{path} never answered {status}")


async def test_tokens_stay_good_when_auth_is_gone(tasks_database_url: str) -> None:
    async with key_server() as (url, auth):
        async with running(tasks_database_url, AUTH_JWKS_URL=url) as tasks:
            client = Client(tasks.session, tasks.url)
            task = await client.created()
            assert await tasks.report() == (200, {"database": "healthy", "auth_keys": "healthy"})
            await auth.cleanup()
            assert (await client.get(f"/v2/tasks/{task['id']}")).data == task
            stranger = Client(tasks.session, tasks.url)
            await stranger.created()


async def test_without_keys_nobody_is_let_in_and_the_client_may_try_again(
    tasks_database_url: str,
) -> None:
    async with running(tasks_database_url) as tasks:
        answer = await Client(tasks.session, tasks.url).get("/v2/tasks")
        assert (answer.status, answer.error["code"]) == (503, "SERVICE_UNAVAILABLE")
        assert int(answer.headers["Retry-After"]) >= 1
        assert await tasks.report() == (200, {"database": "healthy", "auth_keys": "unhealthy"})


async def test_a_database_that_is_away_is_503_and_comes_back(tasks_database_url: str) -> None:
    async with (
        proxied(tasks_database_url) as database,
        key_server() as (url, _),
        running(database.url, AUTH_JWKS_URL=url) as tasks,
    ):
        client = Client(tasks.session, tasks.url)
        task = await client.created()
        await database.shut()
        calls = [
            await client.get("/v2/tasks"),
            await client.get(f"/v2/tasks/{task['id']}"),
            await client.get("/v2/tasks/export"),
            await client.call("POST", "/v1/tasks", NEW),
            await client.call("POST", "/v1/tasks/bulk", [NEW]),
            await client.call("PATCH", f"/v2/tasks/{task['id']}", NEW),
            await client.call("DELETE", f"/v2/tasks/{task['id']}"),
            await client.imported(b'{"title": "t"}'),
        ]
        assert [answer.status for answer in calls] == [503] * len(calls)
        assert {answer.error["code"] for answer in calls} == {"SERVICE_UNAVAILABLE"}
        assert (await tasks.report())[0] == 503
        await database.listen()
        await until_status(client, "/v2/tasks", 200)
        assert (await client.get("/v2/tasks")).data["results"] == [task]


async def test_the_worker_empties_the_trash(tasks_database_url: str) -> None:
    connection = await asyncpg.connect(tasks_database_url)
    try:
        async with running(tasks_database_url, "worker", TRASH_PURGE_SECONDS="0.05") as worker:
            await connection.execute(DELETED)
            for _ in range(400):
                left = dict(await connection.fetch("SELECT title, count(*) FROM tasks GROUP BY 1"))
                if len(left) == 2 and "tasks_purged_total 600.0" in await worker.metrics():
                    break
                await asyncio.sleep(0.05)
            assert left == {"live": 600, "29 days": 600}
            assert await worker.report() == (200, {"database": "healthy"})
    finally:
        await connection.close()


def test_a_schema_that_is_too_old_stops_the_start(empty_database_url: str) -> None:
    ended = command(empty_database_url)
    assert ended.returncode == 78
    assert "python -m services.tasks migrate" in ended.stderr


async def test_migrating_needs_no_more_than_the_database(empty_database_url: str) -> None:
    assert command(empty_database_url, "migrate").returncode == 0
    connection = await asyncpg.connect(empty_database_url)
    try:
        assert await connection.fetchval("SELECT count(*) FROM tasks") == 0
    finally:
        await connection.close()


def test_missing_settings_are_named() -> None:
    ended = command("", "worker")
    assert ended.returncode == 78
    assert "TASKS_DATABASE_URL" in ended.stderr


def test_the_documents_are_printed() -> None:
    page = json.loads(command("", "openapi", "v2").stdout)
    assert "/v2/tasks/{task_id}" in page["paths"]


async def test_secrets_are_encrypted_again_by_a_command(tasks_database_url: str) -> None:
    for keys in ("", "k1:short"):
        refused = await asyncio.to_thread(
            command, tasks_database_url, "secrets", "re-encrypt", ENCRYPTION_KEYS=keys
        )
        assert refused.returncode == 78
        assert "ENCRYPTION_KEYS" in refused.stderr
    done = await asyncio.to_thread(
        command, tasks_database_url, "secrets", "re-encrypt", ENCRYPTION_KEYS=OLD
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "webhooks 0, encrypted again 0, unreadable 0\n"
