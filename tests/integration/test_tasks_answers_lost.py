"""The answer is lost after the commit, the service is killed: the same key has one effect."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from aiohttp import ClientError, ClientSession, web

from tests import tokens
from tests.service.tasks.client import Client, address_of

WRITERS, REQUESTS, KILLS = 4, 25, 3
PATIENCE_SECONDS = 30.0


@pytest.fixture
async def jwks_url() -> AsyncIterator[str]:
    """Auth's public keys, as the real service asks for them."""

    async def keys(_request: web.Request) -> web.Response:
        return web.Response(body=tokens.key_set(tokens.KEY_ID), content_type="application/json")

    app = web.Application()
    app.router.add_get("/jwks.json", keys)
    runner = web.AppRunner(app)
    await runner.setup()
    yield f"{await address_of(runner)}/jwks.json"
    await runner.cleanup()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Program:
    """`python -m services.tasks`, which is killed and started again on the same port."""

    def __init__(self, database_url: str, jwks_url: str) -> None:
        self.port = free_port()
        self._environment = {
            **os.environ,
            "TASKS_DATABASE_URL": database_url,
            "AUTH_JWKS_URL": jwks_url,
            "TASKS_PORT": str(self.port),
            "TASKS_OPS_PORT": "0",
            "LOG_LEVEL": "ERROR",
        }

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "services.tasks"),
            env=self._environment,
            stdout=asyncio.subprocess.DEVNULL,
        )
        try:
            await self._until_it_listens()
            yield
        finally:
            process.send_signal(signal.SIGKILL)
            await process.wait()

    async def _until_it_listens(self) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            for _ in range(10_000):
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                except OSError:
                    await asyncio.sleep(0.02)
                else:
                    writer.close()
                    return


async def create(client: Client, key: str) -> dict[str, Any]:
    """Sends one creation until it is answered, under one key."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                answer = await client.call(
                    "POST", "/v2/tasks", {"title": key}, headers={"Idempotency-Key": key}
                )
            except (ClientError, OSError):
                await asyncio.sleep(0.01)
                continue
            if answer.status == 201:
                task: dict[str, Any] = answer.data
                return task
            assert answer.status in (409, 503), answer.body
            await asyncio.sleep(0.01)


async def test_killed_service_loses_nothing_and_repeats_nothing(
    tasks_database_url: str, jwks_url: str, session: ClientSession
) -> None:
    program = Program(tasks_database_url, jwks_url)
    client = Client(session, f"http://127.0.0.1:{program.port}")
    answered: dict[str, dict[str, Any]] = {}

    async def write(writer: int) -> None:
        for number in range(REQUESTS):
            key = f"{writer}-{number}"
            answered[key] = await create(client, key)

    async def until_answered(count: int) -> None:
        for _ in range(int(PATIENCE_SECONDS / 0.005)):
            if len(answered) >= count:
                return
            await asyncio.sleep(0.005)

    async def kill_again_and_again(writers: asyncio.Future[Any]) -> None:
        for kill in range(1, KILLS + 1):
            async with program.running():
                await until_answered(kill * WRITERS * REQUESTS // (KILLS + 1))
        async with program.running():
            await writers
            assert await client.replayed() == await client.stored()
            for key, task in answered.items():
                again = await create(client, key)
                assert again == task

    await kill_again_and_again(asyncio.gather(*(write(writer) for writer in range(WRITERS))))
    connection = await asyncpg.connect(tasks_database_url)
    rows = await connection.fetch("SELECT title, id FROM tasks")
    await connection.close()
    assert {row["title"]: str(row["id"]) for row in rows} == {
        key: task["id"] for key, task in answered.items()
    }
    assert len(rows) == WRITERS * REQUESTS


@pytest.fixture
async def session() -> AsyncIterator[ClientSession]:
    async with ClientSession() as opened:
        yield opened
