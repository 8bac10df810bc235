"""Tasks below tasks."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from services.tasks.domain import MAX_LEVELS
from tests.service.tasks.client import Answer, Client


async def chain(client: Client, length: int) -> list[dict[str, Any]]:
    """Tasks each below the one before."""
    tasks = [await client.created(title="1")]
    while len(tasks) < length:
        tasks.append(await client.created(title=f"{len(tasks) + 1}", parent_id=tasks[-1]["id"]))
    return tasks


async def move(client: Client, task: dict[str, Any], parent: dict[str, Any] | None) -> Answer:
    body = {"parent_id": None if parent is None else parent["id"]}
    return await client.call("PATCH", f"/v2/tasks/{task['id']}", body)


@pytest.mark.parametrize("kind", ["nobody's", "stranger's", "deleted"])
async def test_a_parent_has_to_be_a_live_task_of_ones_own(
    ann: Client, bob: Client, kind: str
) -> None:
    if kind == "nobody's":
        parent_id = str(uuid4())
    elif kind == "stranger's":
        parent_id = (await bob.created())["id"]
    else:
        parent_id = (await ann.created())["id"]
        await ann.call("DELETE", f"/v2/tasks/{parent_id}")
    answer = await ann.call("POST", "/v2/tasks", {"title": "t", "parent_id": parent_id})
    assert (answer.status, answer.details) == (409, {"parent_id": ["No such task."]})
    task = await ann.created()
    for method in ("PUT", "PATCH"):
        body = {"title": "t", "parent_id": parent_id}
        answer = await ann.call(method, f"/v2/tasks/{task['id']}", body)
        assert (answer.status, set(answer.details)) == (409, {"parent_id"})
    assert (await ann.get("/v2/tasks")).data["results"] == [task]


async def test_circles_are_refused(ann: Client) -> None:
    tasks = await chain(ann, 3)
    for below in tasks:
        answer = await move(ann, tasks[0], below)
        assert (answer.status, set(answer.details)) == (409, {"parent_id"})
    assert (await move(ann, tasks[2], tasks[0])).status == 200
    assert (await move(ann, tasks[0], tasks[1])).status == 409
    assert (await move(ann, tasks[1], None)).status == 200
    assert (await move(ann, tasks[0], tasks[1])).status == 200


async def test_depth_is_bounded(ann: Client) -> None:
    tasks = await chain(ann, MAX_LEVELS)
    body = {"title": "t", "parent_id": tasks[-1]["id"]}
    answer = await ann.call("POST", "/v2/tasks", body)
    assert (answer.status, set(answer.details)) == (409, {"parent_id"})
    pair = await chain(ann, 2)
    assert (await move(ann, pair[0], tasks[-2])).status == 409
    assert (await move(ann, pair[0], tasks[-3])).status == 200


async def test_of_two_moves_that_would_close_a_circle_one_is_refused(ann: Client) -> None:
    for _ in range(5):
        first, second = await ann.created(), await ann.created()
        answers = await asyncio.gather(move(ann, first, second), move(ann, second, first))
        assert sorted(answer.status for answer in answers) == [200, 409]


async def test_deleting_takes_along_what_is_below(ann: Client) -> None:
    tasks = await chain(ann, 4)
    sibling = await ann.created(parent_id=tasks[0]["id"])
    assert (await ann.call("DELETE", f"/v2/tasks/{tasks[1]['id']}")).status == 204
    left = {task["id"] for task in (await ann.get("/v2/tasks")).data["results"]}
    assert left == {tasks[0]["id"], sibling["id"]}
    for gone in tasks[1:]:
        assert (await ann.get(f"/v2/tasks/{gone['id']}")).status == 404


async def test_no_task_hangs_below_a_deleted_one(ann: Client) -> None:
    for _ in range(5):
        parent = await ann.created()
        body = {"title": "child", "parent_id": parent["id"]}
        posts = [ann.call("POST", "/v2/tasks", body) for _ in range(6)]
        deletion = ann.call("DELETE", f"/v2/tasks/{parent['id']}")
        answers = await asyncio.gather(*posts[:3], deletion, *posts[3:])
        assert {answer.status for answer in answers} <= {201, 204, 409}
    assert (await ann.get("/v2/tasks")).data["count"] == 0


async def test_completing_a_parent_leaves_its_children(ann: Client) -> None:
    parent, child = await chain(ann, 2)
    await ann.call("PATCH", f"/v2/tasks/{parent['id']}", {"completed": True})
    assert (await ann.get(f"/v2/tasks/{child['id']}")).data == child
