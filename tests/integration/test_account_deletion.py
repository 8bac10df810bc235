"""A deletion at auth reaches tasks: real auth, the worker's feed, two databases."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import asyncpg
import pytest
from prometheus_client import CollectorRegistry

from services.tasks import account_feed
from services.tasks.account_feed import AccountFeed, Eraser, FeedIsStale
from services.tasks.repository.erasure import ErasureRepository
from services.tasks.settings import Settings
from shared.auth_internal import AuthAway
from shared.database import Database, Store
from shared.process import background
from tests.integration.doors import KEY, AuthProcess
from tests.integration.test_revocation import PASSWORD
from tests.service.auth.conftest import eventually

TASK = """
    INSERT INTO tasks (id, owner_id, title, priority, completed, labels, version, created_at,
        updated_at) VALUES (gen_random_uuid(), $1, 't', 1, false, '{}', 1, now(), now())
"""


async def sql(url: str, statement: str, *arguments: Any) -> list[Any]:
    connection = await asyncpg.connect(url)
    try:
        rows: list[Any] = await connection.fetch(statement, *arguments)
        return rows
    finally:
        await connection.close()


class Company:
    """Auth, an administrator, and what tasks has of people."""

    def __init__(self, auth: AuthProcess, auth_url: str, tasks_url: str) -> None:
        self.auth = auth
        self._auth_url = auth_url
        self._tasks_url = tasks_url
        self.registry = CollectorRegistry()

    async def call(self, method: str, path: str, token: str = "", body: Any = None) -> Any:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        url = f"{self.auth.url}/v1{path}"
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, url, json=body, headers=headers) as answer,
        ):
            assert answer.status < 300, await answer.text()
            return await answer.json() if answer.status != 204 else None

    async def join(self, name: str, role: str = "user") -> tuple[uuid.UUID, str]:
        """An account with a task; its id and token."""
        person = {"name": "Ada", "email": f"{name}@example.com", "password": PASSWORD}
        grant = await self.call("POST", "/auth/register", body=person)
        found = uuid.UUID(grant["user"]["id"])
        if role != "user":
            await sql(self._auth_url, "UPDATE users SET role = $2 WHERE id = $1", found, role)
            login = {"email": person["email"], "password": PASSWORD}
            grant = await self.call("POST", "/auth/login", body=login)
        await sql(self._tasks_url, TASK, found)
        return found, grant["access_token"]

    async def owners(self) -> set[uuid.UUID]:
        return {row[0] for row in await sql(self._tasks_url, "SELECT owner_id FROM tasks")}

    async def position(self, sequence: int | None = None) -> int:
        if sequence is not None:
            await sql(self._tasks_url, "UPDATE account_feed SET sequence = $1", sequence)
        [row] = await sql(self._tasks_url, "SELECT sequence FROM account_feed")
        return int(row[0])

    def failures(self) -> float:
        return self.registry.get_sample_value("account_feed_failures_total") or 0

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[AccountFeed]:
        """What the worker of tasks does about accounts."""
        self.registry = CollectorRegistry()
        database = Database(self._tasks_url, self.registry, application="worker")
        await database.open()
        settings = Settings(
            database_url=self._tasks_url,
            auth_internal_url=self.auth.url,
            service_credential=KEY,
        )
        erasures = Store(database, ErasureRepository)
        feed = AccountFeed(settings, erasures, self.registry)
        try:
            async with background(feed.follow, Eraser(erasures, self.registry).run):
                yield feed
        finally:
            await database.close()


@pytest.fixture
async def company(auth_database_url: str, tasks_database_url: str) -> AsyncIterator[Company]:
    process = AuthProcess(auth_database_url)
    await process.start()
    yield Company(process, auth_database_url, tasks_database_url)
    await process.stop()


async def test_what_auth_deletes_goes_from_tasks(company: Company) -> None:
    chief, token = await company.join("chief", "admin")
    ada, _ = await company.join("ada")
    bob, _ = await company.join("bob")

    async def only_the_others() -> bool:
        return await company.owners() == {chief, bob}

    async with company.worker() as feed:
        await company.call("DELETE", f"/users/{ada}", token)
        await eventually(only_the_others)
        await feed.check()
        assert await company.position() == 1
    assert company.registry.get_sample_value("deleted_accounts_total") == 1


async def test_what_happened_while_either_was_away_is_made_up_for(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account_feed, "SHORTEST_PAUSE", 0.01)
    chief, token = await company.join("chief", "admin")
    people = [(await company.join(f"person{number}"))[0] for number in range(3)]
    for person in people:
        await company.call("DELETE", f"/users/{person}", token)
    await company.auth.stop()

    async def failed() -> bool:
        return company.failures() > 1

    async def only_the_chief() -> bool:
        return await company.owners() == {chief}

    async with company.worker() as feed:
        await eventually(failed)
        assert len(await company.owners()) == 4
        await company.auth.start()
        await eventually(only_the_chief)
        # Auth is back from a backup of long ago: the feed is read again, and does no harm.
        assert await company.position(1_000) == 1_000
        await company.call("DELETE", f"/users/{(await company.join('last'))[0]}", token)

        async def read_again() -> bool:
            return await company.position() == 4 and await company.owners() == {chief}

        await eventually(read_again)
        await feed.check()


@pytest.mark.parametrize(
    "page", [{}, [], {"deletions": [{"user_id": "x"}], "next": 1, "reset": False}]
)
async def test_what_is_no_page_moves_nothing(page: Any, tasks_database_url: str) -> None:
    class Odd:
        async def get(self, *_: Any, **__: Any) -> Any:
            return page

    database = Database(tasks_database_url, CollectorRegistry(), application="worker")
    await database.open()
    settings = Settings(database_url=tasks_database_url, service_credential=KEY)
    feed = AccountFeed(settings, Store(database, ErasureRepository), CollectorRegistry())
    with pytest.raises(AuthAway):
        await feed._turn_page(Odd())  # type: ignore[arg-type]
    await database.close()
    [row] = await sql(tasks_database_url, "SELECT sequence FROM account_feed")
    assert row[0] == 0


async def test_a_feed_that_was_not_heard_of_is_told_by_the_health(
    tasks_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account_feed, "STALE_SECONDS", -1.0)
    database = Database(tasks_database_url, CollectorRegistry(), application="worker")
    store = Store(database, ErasureRepository)
    followed = Settings(database_url=tasks_database_url, service_credential=KEY)
    with pytest.raises(FeedIsStale):
        await AccountFeed(followed, store, CollectorRegistry()).check()


async def test_only_a_service_reads_who_was_deleted(company: Company) -> None:
    _, token = await company.join("chief", "admin")
    async with aiohttp.ClientSession() as session:
        for headers in ({}, {"Authorization": f"Bearer {token}"}, {"X-Service-Token": token}):
            url = f"{company.auth.url}/internal/deletions"
            async with session.get(url, headers=headers) as answer:
                assert answer.status == 401
