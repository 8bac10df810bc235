"""Single tasks in version 2."""

import asyncio
from typing import Any

import pytest

from tests.service.tasks.client import Client

FULL = {
    "title": "Title",
    "description": "Text",
    "priority": 3,
    "due_date": "2026-01-01T00:00:00Z",
    "completed": True,
    "labels": ["b", "a"],
    "external_id": "mine",
}
RESET: dict[str, Any] = {
    "description": None,
    "priority": 1,
    "due_date": None,
    "completed": False,
    "completed_at": None,
    "labels": [],
    "parent_id": None,
    "external_id": None,
}


async def test_create_answers_the_bare_task(ann: Client) -> None:
    answer = await ann.call("POST", "/v2/tasks", FULL)
    assert answer.status == 201
    task = answer.data
    assert {name: task[name] for name in FULL} == FULL
    assert answer.headers["Location"] == f"/api/v2/tasks/{task['id']}"
    assert answer.headers["ETag"] == task["etag"]
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert "GMT" in answer.headers["Last-Modified"]
    assert task["completed_at"] == task["created_at"] == task["updated_at"]
    assert (task["version"], task["recurrence"]) == (1, None)
    assert task["id"][14] == "7"
    assert (await ann.get(f"/v2/tasks/{task['id']}")).data == task


async def test_put_replaces(ann: Client) -> None:
    parent = await ann.created()
    task = await ann.created(**FULL, parent_id=parent["id"])
    answer = await ann.call("PUT", f"/v2/tasks/{task['id']}", {"title": "Only"})
    assert answer.status == 200
    after = answer.data
    assert {name: after[name] for name in RESET} == RESET
    assert (after["title"], after["version"]) == ("Only", 2)
    assert answer.headers["ETag"] == after["etag"] != task["etag"]
    missing = await ann.call("PUT", f"/v2/tasks/{task['id']}", {"priority": 2})
    assert (missing.status, set(missing.details)) == (422, {"title"})


@pytest.mark.parametrize("media", ["application/merge-patch+json", "application/json"])
async def test_patch_merges(ann: Client, media: str) -> None:
    task = await ann.created(**FULL)
    patch = {"description": None, "priority": 5, "recurrence": None}
    answer = await ann.call(
        "PATCH", f"/v2/tasks/{task['id']}", patch, headers={"Content-Type": media}
    )
    assert answer.status == 200
    changed = {"description": None, "priority": 5}
    moved = {name: answer.data[name] for name in ("version", "etag", "updated_at")}
    assert answer.data == {**task, **changed, **moved}
    assert moved["version"] == 2


@pytest.mark.parametrize("field", ["title", "priority", "completed", "labels"])
async def test_null_for_what_cannot_be_empty_is_refused(ann: Client, field: str) -> None:
    task = await ann.created()
    answer = await ann.call("PATCH", f"/v2/tasks/{task['id']}", {field: None})
    assert (answer.status, set(answer.details)) == (422, {field})
    assert (await ann.get(f"/v2/tasks/{task['id']}")).data == task


async def test_a_change_to_the_same_keeps_version_and_etag(ann: Client) -> None:
    task = await ann.created(**FULL)
    for method, body in (("PATCH", {}), ("PATCH", {"labels": ["b", "a"]}), ("PUT", FULL)):
        assert (await ann.call(method, f"/v2/tasks/{task['id']}", body)).data == task


async def test_completion_has_a_time(ann: Client) -> None:
    path = f"/v2/tasks/{(await ann.created())['id']}"
    done = (await ann.call("PATCH", path, {"completed": True})).data
    assert done["completed_at"] == done["updated_at"]
    assert (await ann.call("PATCH", path, {"completed": False})).data["completed_at"] is None


async def test_conditional_reads(ann: Client) -> None:
    task = await ann.created()
    path = f"/v2/tasks/{task['id']}"
    same = await ann.get(path, headers={"If-None-Match": f'W/{task["etag"]}, "x"'})
    assert (same.status, same.body) == (304, b"")
    assert same.headers["ETag"] == task["etag"]
    assert (await ann.get(path, headers={"If-None-Match": "*"})).status == 304
    other = await ann.get(path, headers={"If-None-Match": '"x"'})
    assert (other.status, other.data) == (200, task)


@pytest.mark.parametrize(
    ("method", "body", "good"),
    [("PUT", {"title": "x"}, 200), ("PATCH", {"title": "x"}, 200), ("DELETE", None, 204)],
)
async def test_preconditions_of_writes(ann: Client, method: str, body: Any, good: int) -> None:
    task = await ann.created()
    path = f"/v2/tasks/{task['id']}"
    for stale in ('"x"', f"W/{task['etag']}", "", task["etag"].strip('"')):
        answer = await ann.call(method, path, body, headers={"If-Match": stale})
        assert (answer.status, answer.error["code"]) == (412, "PRECONDITION_FAILED")
        assert answer.details == {"etag": [task["etag"]]}
    for known in ("*", task["etag"], f"W/{task['etag']}"):
        answer = await ann.call(method, path, body, headers={"If-None-Match": known})
        assert (answer.status, answer.error["code"]) == (412, "PRECONDITION_FAILED")
    assert (await ann.get(path)).data == task
    listed = (await ann.get("/v2/tasks")).data["results"][0]["etag"]
    answer = await ann.call(method, path, body, headers={"If-Match": f'"x", {listed}'})
    assert answer.status == good
    missing = await ann.call(method, f"/v2/tasks/{ann.user_id}", body, headers={"If-Match": "*"})
    assert missing.status == 404


async def test_one_of_two_writers_with_the_same_etag_loses(ann: Client) -> None:
    for _ in range(5):
        task = await ann.created()
        answers = await asyncio.gather(
            *(
                ann.call(
                    "PATCH",
                    f"/v2/tasks/{task['id']}",
                    {"title": f"{number}"},
                    headers={"If-Match": task["etag"]},
                )
                for number in range(4)
            )
        )
        assert sorted(answer.status for answer in answers) == [200, 412, 412, 412]
        [won] = [answer for answer in answers if answer.status == 200]
        assert (await ann.get(f"/v2/tasks/{task['id']}")).data == won.data


async def test_writers_without_conditions_all_get_through(ann: Client) -> None:
    path = f"/v2/tasks/{(await ann.created())['id']}"
    fields = ({"priority": 5}, {"labels": ["x"]}, {"description": "d"}, {"completed": True})
    answers = await asyncio.gather(*(ann.call("PATCH", path, field) for field in fields))
    assert [answer.status for answer in answers] == [200] * 4
    task = (await ann.get(path)).data
    assert (task["version"], task["priority"], task["labels"]) == (5, 5, ["x"])
    assert (task["description"], task["completed"]) == ("d", True)


async def test_external_ids_are_unique_among_the_live_tasks_of_one_owner(
    ann: Client, bob: Client
) -> None:
    first = await ann.created(external_id="x")
    await bob.created(external_id="x")
    again = await ann.call("POST", "/v2/tasks", {"title": "t", "external_id": "x"})
    assert (again.status, again.error["code"]) == (409, "CONFLICT")
    assert set(again.details) == {"external_id"}
    second = await ann.created(external_id="y")
    for method in ("PUT", "PATCH"):
        body = {"title": "t", "external_id": "x"}
        assert (await ann.call(method, f"/v2/tasks/{second['id']}", body)).status == 409
    assert (await ann.get(f"/v2/tasks/{second['id']}")).data == second
    await ann.call("DELETE", f"/v2/tasks/{first['id']}")
    await ann.created(external_id="x")


async def test_of_many_with_one_external_id_one_is_created(ann: Client) -> None:
    answers = await asyncio.gather(
        *(ann.call("POST", "/v2/tasks", {"title": "t", "external_id": "x"}) for _ in range(8))
    )
    assert sorted(answer.status for answer in answers) == [201] + [409] * 7
