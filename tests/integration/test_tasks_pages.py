"""Pages of lists in Redis: shared, sealed, and nobody's problem when Redis is not well."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

import pytest
from aiohttp import ClientSession
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from services.tasks.app import build
from services.tasks.page_store import MemoryPages, Page, PageKey, Pages
from services.tasks.settings import Settings
from shared.app import create_app
from shared.server import ApiRunner
from tests import tokens
from tests.ports import free_port
from tests.service.tasks.client import Client, address_of


@dataclass(frozen=True)
class Replica:
    """One process of tasks and a user of it."""

    client: Client
    registry: CollectorRegistry

    def shown(self, source: str) -> float:
        return self.registry.get_sample_value("tasks_list_pages_total", {"source": source}) or 0

    def redis(self, outcome: str) -> float:
        return self.registry.get_sample_value("tasks_list_redis_total", {"outcome": outcome}) or 0

    async def titles(self) -> list[str]:
        answer = await self.client.get("/v2/tasks")
        assert answer.status == 200
        return [task["title"] for task in answer.data["results"]]


Start = Callable[[str], AbstractAsyncContextManager[Replica]]


@pytest.fixture
def start(tasks_database_url: str) -> Start:
    @asynccontextmanager
    async def start(redis_url: str) -> AsyncIterator[Replica]:
        settings = Settings(database_url=tasks_database_url, redis_url=redis_url)
        service = build(settings, key_source=tokens.Keys(tokens.KEY_ID))
        runner = ApiRunner(create_app(service, settings), shutdown_timeout=1.0)
        await runner.setup()
        try:
            async with ClientSession() as session:
                client = Client(session, await address_of(runner))
                client.user_id, client.token = str(tokens.USER), tokens.token()
                yield Replica(client, service.registry)
        finally:
            await runner.cleanup()

    return start


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110 - a counter tells nobody
            await asyncio.sleep(0.01)


async def test_what_one_replica_made_another_shows(start: Start, redis_url: str) -> None:
    async with start(redis_url) as one, start(redis_url) as other:
        await one.client.created(title="first")
        assert await one.titles() == ["first"]
        await until(lambda: one.redis("stored") == 1)
        assert await other.titles() == await other.titles() == ["first"]
        assert (other.shown("redis"), other.shown("memory"), other.shown("database")) == (1, 1, 0)
        await other.client.created(title="second")
        assert await one.titles() == ["second", "first"]
        assert one.shown("database") == 2


async def test_a_page_leaves_redis_by_itself(start: Start, redis_url: str) -> None:
    async with start(redis_url) as one:
        await one.titles()
        await until(lambda: one.redis("stored") == 1)
    async with Redis.from_url(redis_url) as redis:
        (name,) = await redis.keys()
        assert 0 < await redis.ttl(name) <= 10


async def test_a_page_of_somebody_else_or_of_nobody_is_not_shown(
    start: Start, redis_url: str
) -> None:
    async with start(redis_url) as one, Redis.from_url(redis_url) as redis:
        await one.client.created(title="mine")
        await one.titles()
        await until(lambda: one.redis("stored") == 1)
        (name,) = await redis.keys()
        good = await redis.get(name)
        assert isinstance(good, bytes)
        other = await one.client.get("/v2/tasks?page_size=1")
        await until(lambda: one.redis("stored") == 2)
        others = [await redis.get(key) or b"" for key in await redis.keys() if key != name]
        assert other.status == 200
        for forged in (b"", b"garbage", good[:-1] + b" ", good + b" ", *others):
            await redis.set(name, forged)
            async with start(redis_url) as fresh:
                assert await fresh.titles() == ["mine"]
                assert (fresh.redis("refused"), fresh.shown("database")) == (1, 1)


async def test_a_value_of_another_kind(start: Start, redis_url: str) -> None:
    async with start(redis_url) as one, Redis.from_url(redis_url) as redis:
        await one.titles()
        await until(lambda: one.redis("stored") == 1)
        (name,) = await redis.keys()
        await redis.delete(name)
        await redis.lpush(name, "a list")
        async with start(redis_url) as fresh:
            assert await fresh.titles() == []
            assert fresh.redis("failed") == 1


async def test_without_redis_lists_are_right(start: Start) -> None:
    async with start(f"redis://127.0.0.1:{free_port()}/0") as one:
        for number in range(3):
            await one.client.created(title=str(number))
            assert len(await one.titles()) == number + 1
        # One call found out, or one a second; the others were spared.
        assert one.redis("failed") >= 1
        assert one.shown("database") == 3


async def test_a_redis_that_hangs_or_talks_nonsense(start: Start) -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await reader.read()
        writer.close()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while await reader.read(1000):
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        writer.close()

    for behave in (hang, talk):
        server = await asyncio.start_server(behave, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            async with start(f"redis://127.0.0.1:{port}/0") as one:
                before = await one.titles()
                await one.client.created(title="here")
                assert await one.titles() == await one.titles() == ["here", *before]
                assert one.redis("failed") >= 1


KEY = PageKey(tokens.USER, "/v2/tasks")


async def test_those_who_want_the_same_page_wait_for_one() -> None:
    pages = Pages(MemoryPages(), None, CollectorRegistry())
    made: list[int] = []
    ready = asyncio.Event()

    async def make() -> Page:
        made.append(1)
        await ready.wait()
        return Page("1.1", b"{}")

    asking = [asyncio.create_task(pages.get(KEY, "1.1", make)) for _ in range(5)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    asking[1].cancel()
    ready.set()
    found = await asyncio.gather(*asking, return_exceptions=True)
    assert [one for one in found if one != Page("1.1", b"{}")] == [found[1]]
    assert isinstance(found[1], asyncio.CancelledError)
    assert len(made) == 1


async def test_when_the_first_one_leaves_the_others_still_get_it() -> None:
    pages = Pages(MemoryPages(), None, CollectorRegistry())
    ready = asyncio.Event()

    async def make() -> Page:
        await ready.wait()
        return Page("1.1", b"{}")

    asking = [asyncio.create_task(pages.get(KEY, "1.1", make)) for _ in range(3)]
    await asyncio.sleep(0)
    asking[0].cancel()
    await asyncio.sleep(0)
    ready.set()
    assert await asking[1] == await asking[2] == Page("1.1", b"{}")


def test_memory_is_bounded_and_keeps_what_is_used() -> None:
    memory = MemoryPages(size=10_000)
    for number in range(100):
        memory.put(KEY._replace(target=str(number)), Page("1.1", b"x" * 1_000))
        memory.get(KEY._replace(target="0"), "1.1")
    assert memory._held <= 10_000
    assert memory.get(KEY._replace(target="0"), "1.1") is not None
    assert memory.get(KEY._replace(target="1"), "1.1") is None
    memory.put(KEY, Page("2.1", b"new"))
    assert memory.get(KEY, "1.1") is None
    assert memory.get(KEY, "2.1") == Page("2.1", b"new")
