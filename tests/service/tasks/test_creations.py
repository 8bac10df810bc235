"""New tasks of many owners at the same moment: stored together, and nobody waits for another."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from aiohttp import ClientSession

from tests.service.tasks.client import Answer, Client

_TAKE = "SELECT 1 FROM feeds WHERE owner_id = $1 FOR UPDATE"


@pytest.fixture
async def elsewhere(tasks_database_url: str) -> AsyncIterator[Any]:
    """A connection of somebody else who writes tasks."""
    connection = await asyncpg.connect(tasks_database_url)
    yield connection
    await connection.close()


@pytest.fixture
async def many(session: ClientSession, base_url: str) -> list[Client]:
    """Users who have a task already, and so a feed."""
    users = [Client(session, base_url) for _ in range(5)]
    for user in users:
        await user.created(title="first")
    return users


async def create(user: Client, title: str, **fields: Any) -> Answer:
    return await user.call("POST", "/v2/tasks", {"title": title, **fields})


async def test_tasks_of_many_owners_keep_to_their_owners(
    many: list[Client], ann: Client, bob: Client
) -> None:
    users = [*many, ann, bob]
    answers = await asyncio.gather(
        *(
            create(user, f"{user.user_id} {at}", completed=at == 0)
            for at in range(4)
            for user in users
        )
    )
    assert {one.status for one in answers} == {201}
    assert len({one.data["id"] for one in answers}) == len(answers)
    for user in users:
        tasks = await user.stored()
        assert await user.replayed() == tasks
        titles = {task["title"] for task in tasks.values()} - {"first"}
        assert titles == {f"{user.user_id} {at}" for at in range(4)}


async def test_a_busy_owner_keeps_only_himself_waiting(many: list[Client], elsewhere: Any) -> None:
    busy, *others = many
    async with elsewhere.transaction():
        await elsewhere.execute(_TAKE, uuid.UUID(busy.user_id))
        held = asyncio.create_task(create(busy, "waits"))
        answers = await asyncio.gather(
            *(create(user, "goes on") for user in others for _ in range(3))
        )
        assert {one.status for one in answers} == {201}
        assert not held.done()
    assert (await held).status == 201
    assert [task["title"] for task in (await busy.replayed()).values()] == ["first", "waits"]


async def test_nobody_suffers_from_a_name_that_is_taken(many: list[Client]) -> None:
    for user in many:
        await user.created(external_id="a")
    answers = await asyncio.gather(
        *(create(user, f"n{at}", external_id=f"{at}") for user in many for at in range(2)),
        *(create(user, "again", external_id="a") for user in many),
    )
    assert [one.status for one in answers] == [201] * 10 + [409] * 5
    for user in many:
        assert await user.replayed() == await user.stored()
