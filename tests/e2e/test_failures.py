"""Processes that die: what goes on working, what is answered, and what heals by itself."""

from __future__ import annotations

import asyncio
import os
import signal
import uuid
from collections.abc import Iterator

import asyncpg
import pytest

from tests.e2e.conftest import GENEROUS, System, running
from tests.e2e.visitor import PASSWORD, Visitor, error_of, visiting
from tests.service.auth.conftest import eventually

# Long enough for the supervisor to start a crashed process again.
PATIENCE_SECONDS = 60


@pytest.fixture(scope="module")
def fragile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A system whose processes may be killed."""
    with running(tmp_path_factory.mktemp("fragile"), GENEROUS, {}) as system:
        yield system


async def recovers(person: Visitor, path: str) -> set[int]:
    """Asks until the answer is 200 again; the statuses met on the way."""
    met: set[int] = set()
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            async with person.asking("GET", path) as answer:
                if answer.status == 200:
                    return met
                met.add(answer.status)
                code = {502: "UPSTREAM_ERROR", 503: "SERVICE_UNAVAILABLE"}[answer.status]
                error = error_of(await answer.json(), code)
                assert answer.headers["X-Request-ID"] == error["request_id"]
                assert answer.headers["API-Version"] == "v2"
                if answer.status == 503:
                    assert int(answer.headers["Retry-After"]) >= 1
            await asyncio.sleep(0.1)


async def test_tasks_dies_and_comes_back(fragile: System) -> None:
    async with visiting(fragile.url) as person:
        task = await person.ask("POST", "/api/v2/tasks", 201, json={"title": "Survives"})
        killed = fragile.pids["tasks"]
        os.kill(killed, signal.SIGKILL)
        met = await recovers(person, "/api/v2/tasks")
        assert met
        assert met <= {502, 503}
        assert fragile.pids["tasks"] != killed
        page = await person.ask("GET", "/api/v2/tasks", 200)
        assert [one["id"] for one in page["results"]] == [task["id"]]


async def use_tasks(person: Visitor) -> None:
    """Reads and writes in both versions."""
    task = await person.ask("POST", "/api/v2/tasks", 201, json={"title": "Alone"})
    path = f"/api/v2/tasks/{task['id']}"
    changed = await person.ask("PATCH", path, 200, json={"completed": True})
    assert changed["completed"] is True
    assert (await person.ask("GET", path, 200))["completed"] is True
    await person.ask("PUT", f"/api/v1/tasks/{task['id']}", 200, json={"completed": False})


async def test_tasks_works_without_auth_for_tokens_already_issued(fragile: System) -> None:
    async with visiting(fragile.url) as person:
        killed = fragile.pids["auth"]
        os.kill(killed, signal.SIGKILL)
        await use_tasks(person)
        assert await recovers(person, "/api/v2/auth/profile") <= {502, 503}
        assert fragile.pids["auth"] != killed
        body = {"refresh_token": person.grant["refresh_token"]}
        await person.ask("POST", "/api/v2/auth/refresh", 200, json=body)


async def rows_of(system: System, user_id: str) -> int:
    """How many tasks, changes and idempotent answers of a person there are."""
    connection = await asyncpg.connect(system.database_url("tasks"))
    try:
        found: int = await connection.fetchval(
            "SELECT (SELECT count(*) FROM tasks WHERE owner_id = $1)"
            " + (SELECT count(*) FROM changes WHERE owner_id = $1)"
            " + (SELECT count(*) FROM idempotent_answers WHERE caller_id = $1)",
            uuid.UUID(user_id),
        )
        return found
    finally:
        await connection.close()


async def test_what_a_deleted_account_had_goes_although_everybody_dies(fragile: System) -> None:
    email = fragile.make_admin(PASSWORD)
    async with visiting(fragile.url) as person, visiting(fragile.url, registered=False) as root:
        headers = {"Idempotency-Key": "once"}
        await person.ask("POST", "/api/v2/tasks", 201, json={"title": "Mine"}, headers=headers)
        gone = person.grant["user"]["id"]
        assert await rows_of(fragile, gone) == 3
        login = {"email": email, "password": PASSWORD}
        root.token = (await root.ask("POST", "/api/v2/auth/login", 200, json=login))["access_token"]
        os.kill(fragile.pids["tasks-worker"], signal.SIGKILL)
        await root.ask("DELETE", f"/api/v2/users/{gone}", 204)
        os.kill(fragile.pids["auth"], signal.SIGKILL)

        async def nothing_left() -> bool:
            return await rows_of(fragile, gone) == 0

        await eventually(nothing_left)
        await recovers(root, "/api/v2/auth/profile")
        events = await root.ask("GET", f"/api/v2/users/{gone}/audit", 200)
        assert events["results"][0]["event"] == "user.deleted"


async def test_tasks_works_while_auth_hangs(fragile: System) -> None:
    async with visiting(fragile.url) as person:
        frozen = fragile.pids["auth"]
        os.kill(frozen, signal.SIGSTOP)
        try:
            await use_tasks(person)
        finally:
            os.kill(frozen, signal.SIGCONT)
        await recovers(person, "/api/v2/auth/profile")
