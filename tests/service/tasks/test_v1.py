"""Version 1 as its clients see it."""

from typing import Any
from uuid import uuid4

import pytest

from tests.service.tasks.client import Client

FIELDS = {
    "id", "title", "description", "priority", "due_date", "completed", "created_at", "updated_at",
}  # fmt: skip


async def made(client: Client, **fields: Any) -> dict[str, Any]:
    answer = await client.call("POST", "/v1/tasks", {"title": "A task", **fields})
    assert answer.status == 201
    task: dict[str, Any] = answer.data["task"]
    return task


async def test_a_task_from_beginning_to_end(ann: Client) -> None:
    answer = await ann.call("POST", "/v1/tasks", {"title": "Write", "priority": 5})
    assert answer.status == 201
    task = answer.data["task"]
    assert set(answer.data) == {"task", "message"}
    assert set(task) == FIELDS
    assert (task["priority"], task["completed"], task["due_date"]) == (5, False, None)
    assert answer.headers["Location"] == f"/api/v1/tasks/{task['id']}"
    path = f"/v1/tasks/{task['id']}"
    assert (await ann.get(path)).data == {"task": task}

    changed = await ann.call("PUT", path, {"completed": True})
    assert changed.status == 200
    after = changed.data["task"]
    assert after == {**task, "completed": True, "updated_at": after["updated_at"]}

    deleted = await ann.call("DELETE", path)
    assert (deleted.status, set(deleted.data)) == (200, {"message"})
    for method, body in (("GET", None), ("PUT", {"title": "x"}), ("DELETE", None)):
        assert (await ann.call(method, path, body)).status == 404


async def test_times_are_turned_into_utc(ann: Client) -> None:
    task = await made(ann, due_date="2026-01-01T01:30:00.5+02:00")
    assert task["due_date"] == "2025-12-31T23:30:00.500000Z"


async def test_put_empties_what_is_null(ann: Client) -> None:
    task = await made(ann, description="text", due_date="2026-01-01T00:00:00Z")
    answer = await ann.call(
        "PUT", f"/v1/tasks/{task['id']}", {"description": None, "due_date": None}
    )
    assert answer.data["task"]["description"] is None
    assert answer.data["task"]["due_date"] is None


async def test_put_without_fields_changes_nothing(ann: Client) -> None:
    task = await made(ann)
    answer = await ann.call("PUT", f"/v1/tasks/{task['id']}", {})
    assert (answer.status, answer.data["task"]) == (200, task)


async def test_lists_are_cut_by_rows_newest_first(ann: Client) -> None:
    assert (await ann.get("/v1/tasks")).data == {
        "tasks": [],
        "pagination": {"skip": 0, "limit": 10, "total": 0, "returned": 0},
        "filters": {"completed": None},
    }
    for number in range(12):
        await made(ann, title=f"{number}", completed=number < 5)
    page = (await ann.get("/v1/tasks?skip=1&limit=3")).data
    assert [task["title"] for task in page["tasks"]] == ["10", "9", "8"]
    assert page["pagination"] == {"skip": 1, "limit": 3, "total": 12, "returned": 3}
    done = (await ann.get("/v1/tasks?completed=true")).data
    assert [task["title"] for task in done["tasks"]] == ["4", "3", "2", "1", "0"]
    assert done["filters"] == {"completed": True}
    beyond = (await ann.get("/v1/tasks?skip=1000000000")).data
    assert (beyond["tasks"], beyond["pagination"]["total"]) == ([], 12)


async def test_bulk_names_the_bad_and_creates_the_good(ann: Client) -> None:
    items: list[Any] = [{"title": "a"}, {"title": ""}, 7, {"title": "b", "x": 1}, {"title": "c"}]
    answer = await ann.call("POST", "/v1/tasks/bulk", items)
    assert answer.status == 200
    assert [task["title"] for task in answer.data["created"]] == ["a", "c"]
    assert [error["index"] for error in answer.data["errors"]] == [1, 2, 3]
    assert "title" in answer.data["errors"][0]["error"]
    assert "x" in answer.data["errors"][2]["error"]
    assert answer.data["summary"] == {"total_submitted": 5, "successful": 2, "failed": 3}
    assert (await ann.get("/v1/tasks")).data["pagination"]["total"] == 2


@pytest.mark.parametrize(("count", "status"), [(0, 200), (50, 200), (51, 400)])
async def test_bulk_is_bounded(ann: Client, count: int, status: int) -> None:
    answer = await ann.call("POST", "/v1/tasks/bulk", [{"title": "a"}] * count)
    assert answer.status == status
    total = (await ann.get("/v1/tasks")).data["pagination"]["total"]
    assert total == (count if status == 200 else 0)


async def test_bulk_takes_only_an_array(ann: Client) -> None:
    answer = await ann.call("POST", "/v1/tasks/bulk", {"title": "a"})
    assert (answer.status, answer.details) == (422, {"body": ["Must be an array."]})


async def test_a_long_description_of_v2_is_shown_whole(ann: Client) -> None:
    task = await ann.created(description="x" * 10_000)
    shown = (await ann.get(f"/v1/tasks/{task['id']}")).data["task"]
    assert len(shown["description"]) == 10_000
    assert set(shown) == FIELDS


async def test_what_v1_changes_keeps_the_fields_of_v2(ann: Client) -> None:
    parent = await ann.created()
    task = await ann.created(labels=["a"], external_id="mine", parent_id=parent["id"])
    await ann.call("PUT", f"/v1/tasks/{task['id']}", {"title": "Other"})
    after = (await ann.get(f"/v2/tasks/{task['id']}")).data
    assert (after["labels"], after["external_id"]) == (["a"], "mine")
    assert (after["parent_id"], after["version"]) == (parent["id"], 2)


async def test_an_unknown_task_is_not_found(ann: Client) -> None:
    assert (await ann.get(f"/v1/tasks/{uuid4()}")).error["code"] == "NOT_FOUND"
