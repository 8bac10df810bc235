"""Idempotency-Key: one effect, one answer."""

import asyncio
from typing import Any

import asyncpg
import pytest

from services.tasks.usecases import tasks as usecase
from tests.service.tasks.client import Answer, Client

POSTS: list[tuple[str, Any]] = [
    ("/v1/tasks", {"title": "a"}),
    ("/v2/tasks", {"title": "a", "external_id": "x"}),
    ("/v1/tasks/bulk", [{"title": "a"}, {}]),
]


async def post(client: Client, path: str, body: Any, key: str) -> Answer:
    return await client.call("POST", path, body, headers={"Idempotency-Key": key})


async def count(client: Client) -> int:
    total: int = (await client.get("/v2/tasks")).data["count"]
    return total


@pytest.mark.parametrize("key", ["a b", '"', "x" * 256, "ü", '""'])
async def test_key_that_is_none(ann: Client, key: str) -> None:
    if key in ('"', '""'):
        # Visible characters all the same.
        assert (await post(ann, "/v2/tasks", {"title": "a"}, key)).status == 201
        return
    answer = await post(ann, "/v2/tasks", {"title": "a"}, key)
    assert answer.status == 422
    assert set(answer.details) == {"idempotency-key"}
    assert await count(ann) == 0


@pytest.mark.parametrize(("path", "body"), POSTS)
async def test_replay_is_byte_for_byte(ann: Client, path: str, body: Any) -> None:
    first = await post(ann, path, body, "k-1")
    assert first.status in (200, 201)
    assert "Idempotent-Replayed" not in first.headers
    again = await post(ann, path, body, '"k-1"')
    assert (again.status, again.body) == (first.status, first.body)
    assert again.headers["Idempotent-Replayed"] == "true"
    for name in ("Content-Type", "Location", "ETag", "Last-Modified"):
        assert again.headers.get(name) == first.headers.get(name)
    assert again.headers["X-Request-ID"] != first.headers["X-Request-ID"]
    assert await count(ann) == 1


async def test_another_request_under_the_key(ann: Client, bob: Client, admin: Client) -> None:
    await post(ann, "/v2/tasks", {"title": "a"}, "k")
    mismatch = await post(ann, "/v2/tasks", {"title": "b"}, "k")
    assert (mismatch.status, mismatch.error["code"]) == (422, "IDEMPOTENCY_MISMATCH")
    # Other callers and other routes have keys of their own.
    assert (await post(bob, "/v2/tasks", {"title": "b"}, "k")).status == 201
    assert (await post(ann, "/v1/tasks", {"title": "b"}, "k")).status == 201
    other = f"/v2/tasks?owner_id={ann.user_id}"
    assert (await post(admin, "/v2/tasks", {"title": "c"}, "k")).status == 201
    assert (await post(admin, other, {"title": "c"}, "k")).status == 422
    assert await count(ann) == 2


async def test_decisions_are_kept_and_refused_input_is_not(ann: Client) -> None:
    await ann.created(external_id="x")
    refused = await post(ann, "/v2/tasks", {"title": ""}, "k")
    assert refused.status == 422
    taken = await post(ann, "/v2/tasks", {"title": "a", "external_id": "x"}, "k")
    assert taken.status == 409
    again = await post(ann, "/v2/tasks", {"title": "a", "external_id": "x"}, "k")
    assert (again.status, again.body) == (409, taken.body)
    missing = "01a1fc30-8431-7561-a859-16967aeee507"
    orphan = await post(ann, "/v2/tasks", {"title": "a", "parent_id": missing}, "o")
    assert orphan.status == 409
    assert await count(ann) == 1


async def test_import_under_a_key(ann: Client) -> None:
    async def send(lines: bytes) -> Answer:
        return await ann.call(
            "POST",
            "/v2/tasks/import",
            body=lines,
            headers={"Content-Type": "application/x-ndjson", "Idempotency-Key": "k"},
        )

    first = await send(b'{"title":"a"}\n{}')
    assert first.data["imported"] == 1
    assert (await send(b'{"title":"a"}\n{}')).body == first.body
    assert (await send(b'{"title":"b"}')).status == 422
    assert await count(ann) == 1


async def test_many_at_once_have_one_effect(ann: Client) -> None:
    answers = await asyncio.gather(
        *(post(ann, "/v2/tasks", {"title": "a"}, "k") for _ in range(12))
    )
    assert {answer.status for answer in answers} <= {201, 409}
    assert len({answer.body for answer in answers if answer.status == 201}) == 1
    for answer in answers:
        if answer.status == 409:
            assert answer.headers["Retry-After"] == "1"
    assert await count(ann) == 1


async def test_key_is_free_again_after_a_day(ann: Client, tasks_database_url: str) -> None:
    await post(ann, "/v2/tasks", {"title": "a"}, "k")
    connection = await asyncpg.connect(tasks_database_url)
    await connection.execute("UPDATE idempotent_answers SET at = at - interval '25 hours'")
    await connection.close()
    assert (await post(ann, "/v2/tasks", {"title": "b"}, "k")).status == 201
    assert (await post(ann, "/v2/tasks", {"title": "b"}, "k")).headers["Idempotent-Replayed"]
    assert await count(ann) == 2


async def test_failure_before_the_commit_leaves_nothing(
    ann: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(Exception):
        pass

    original = usecase.create_task

    async def create_and_break(*arguments: Any) -> Any:
        await original(*arguments)
        raise Broken

    monkeypatch.setattr(usecase, "create_task", create_and_break)
    assert (await post(ann, "/v2/tasks", {"title": "a"}, "k")).status == 500
    monkeypatch.undo()
    assert await count(ann) == 0
    assert await ann.changes() == []
    assert (await post(ann, "/v2/tasks", {"title": "a"}, "k")).status == 201
