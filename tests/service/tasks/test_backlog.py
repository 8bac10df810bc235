"""What waits to be delivered is told as it is: nothing while nobody knows, nothing left out."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator

import pytest
from prometheus_client import CollectorRegistry

from services.tasks.repository.backlog import BacklogRepository
from services.tasks.webhooks.backlog import Backlog
from shared.database import Database, Store
from tests.service.tasks.client import Client

NAMES = (
    "webhook_backlog",
    "webhook_backlog_overdue_seconds",
    "webhooks_failing",
    "webhooks_given_up",
)


class Look:
    """A backlog, its figures and its database."""

    def __init__(self, url: str) -> None:
        self.registry = CollectorRegistry()
        self.database = Database(url, self.registry, application="tests")
        self.backlog = Backlog(Store(self.database, BacklogRepository), self.registry)

    async def figures(self) -> list[float | None]:
        await self.backlog.look()
        return [self.registry.get_sample_value(name) for name in NAMES]

    async def change(self, statement: str) -> None:
        async with self.database.connection() as connection:
            await connection.execute(statement)


@pytest.fixture
async def look(tasks_database_url: str) -> AsyncIterator[Look]:
    found = Look(tasks_database_url)
    await found.database.open()
    yield found
    await found.database.close()


async def webhook(client: Client) -> None:
    answer = await client.call("POST", "/v2/webhooks", {"url": "https://example.com/hook"})
    assert answer.status == 201


async def test_nobody_knows_while_the_database_is_away(look: Look) -> None:
    await look.database.close()
    figures = await look.figures()
    assert all(figure is not None and math.isnan(figure) for figure in figures)


async def test_nothing_waits_where_there_is_nothing(look: Look) -> None:
    assert await look.figures() == [0, 0, 0, 0]


async def test_what_is_due_grows_old(ann: Client, look: Look) -> None:
    await webhook(ann)
    await ann.created(title="one")
    await ann.created(title="two")
    await look.change("UPDATE deliveries SET next_attempt_at = now() - interval '1 minute'")
    pending, overdue, *others = await look.figures()
    assert pending == 2
    assert overdue is not None
    assert 60 <= overdue < 600
    assert others == [0, 0]


async def test_what_is_not_yet_due_is_not_late(ann: Client, look: Look) -> None:
    await webhook(ann)
    await ann.created(title="one")
    await look.change("UPDATE deliveries SET next_attempt_at = now() + interval '1 hour'")
    assert await look.figures() == [1, 0, 0, 0]


async def test_a_receiver_that_fails_is_late_by_itself(ann: Client, look: Look) -> None:
    await webhook(ann)
    await ann.created(title="one")
    await look.change("UPDATE webhooks SET failing_since = now()")
    assert await look.figures() == [1, 0, 1, 0]


async def test_one_that_was_given_up_is_counted_and_one_that_was_turned_off_is_not(
    ann: Client, look: Look
) -> None:
    await webhook(ann)
    await look.change("UPDATE webhooks SET enabled = false")
    assert await look.figures() == [0, 0, 0, 0]
    await look.change("UPDATE webhooks SET disabled_reason = 'The receiver answered 410 Gone.'")
    assert await look.figures() == [0, 0, 0, 1]
