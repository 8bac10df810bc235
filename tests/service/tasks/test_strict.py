"""Strict mode: no change of a task without saying which state of it is meant."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession

from services.tasks.app import build
from services.tasks.settings import Settings
from shared.app import create_app
from shared.server import ApiRunner
from tests import tokens
from tests.service.tasks.client import Client, address_of


@pytest.fixture
async def strict(tasks_database_url: str, session: ClientSession) -> AsyncIterator[Client]:
    """A user of a service that requires If-Match."""
    settings = Settings(database_url=tasks_database_url, require_if_match=True)
    service = build(settings, key_source=tokens.Keys(tokens.KEY_ID))
    runner = ApiRunner(create_app(service, settings), shutdown_timeout=1.0)
    await runner.setup()
    try:
        yield Client(session, await address_of(runner))
    finally:
        await runner.cleanup()


async def test_changes_need_if_match(strict: Client) -> None:
    task = await strict.created()
    path = f"/v2/tasks/{task['id']}"
    calls = (("PUT", {"title": "b"}), ("PATCH", {"title": "c"}), ("DELETE", None))
    for method, body in calls:
        answer = await strict.call(method, path, body)
        assert (answer.status, answer.error["code"]) == (428, "PRECONDITION_REQUIRED")
        assert set(answer.details) == {"if-match"}
    assert (await strict.get(path)).data == task
    for method, body in calls:
        etag = (await strict.get(path)).headers["ETag"]
        answer = await strict.call(method, path, body, headers={"If-Match": etag})
        assert answer.status in (200, 204)


async def test_version_1_stays_forgiving(strict: Client) -> None:
    task = await strict.created()
    answer = await strict.call("PUT", f"/v1/tasks/{task['id']}", {"title": "b"})
    assert answer.status == 200
