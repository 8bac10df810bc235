"""Who may see and touch what."""

from typing import Any
from uuid import uuid4

from services.tasks.routes import ENDPOINTS
from shared.identity import Permission
from tests import tokens
from tests.service.tasks.client import Client

NEW = {"title": "t"}


def operations(task_id: str) -> list[tuple[str, str, Any]]:
    """Every operation on one task, with a good body."""
    paths = [f"/v1/tasks/{task_id}", f"/v2/tasks/{task_id}"]
    calls: list[tuple[str, str, Any]] = [("GET", path, None) for path in paths]
    calls += [("PUT", path, NEW) for path in paths]
    calls += [("PATCH", paths[1], NEW)]
    calls += [("DELETE", path, None) for path in paths]
    return calls


def collections() -> list[tuple[str, str, Any]]:
    return [
        ("GET", "/v1/tasks", None),
        ("GET", "/v2/tasks", None),
        ("GET", "/v2/tasks/export", None),
        ("POST", "/v1/tasks", NEW),
        ("POST", "/v1/tasks/bulk", [NEW]),
        ("POST", "/v2/tasks", NEW),
    ]


def test_no_operation_is_open_to_all() -> None:
    for endpoint in ENDPOINTS:
        expected = Permission.TASKS_READ if endpoint.method == "GET" else Permission.TASKS_WRITE
        assert endpoint.permission is expected, endpoint


async def test_nobody_gets_in_without_a_token(nobody: Client) -> None:
    for method, path, body in [*operations(str(uuid4())), *collections()]:
        answer = await nobody.call(method, path, body)
        assert (answer.status, answer.error["code"]) == (401, "UNAUTHORIZED")
        assert "Bearer" in answer.headers["WWW-Authenticate"]
    assert (await nobody.imported(b"")).status == 401


async def test_a_bad_token_is_refused(nobody: Client) -> None:
    for token in (tokens.token(exp=1), tokens.token(aud="else"), tokens.token(key="other"), "x"):
        answer = await nobody.get("/v2/tasks", headers={"Authorization": f"Bearer {token}"})
        assert answer.status == 401


async def test_a_strangers_task_is_not_there(ann: Client, bob: Client) -> None:
    task = await ann.created()
    for method, path, body in operations(task["id"]):
        assert (await bob.call(method, path, body)).status == 404
    assert (await ann.get(f"/v2/tasks/{task['id']}")).data == task
    assert (await bob.get("/v2/tasks")).data["count"] == 0
    assert (await bob.get("/v1/tasks")).data["pagination"]["total"] == 0
    assert await bob.exported() == []


async def test_a_reader_cannot_write(reader: Client) -> None:
    for method, path, body in [*operations(str(uuid4())), *collections()]:
        answer = await reader.call(method, path, body)
        if method == "GET":
            assert answer.status in (200, 404)
        else:
            assert (answer.status, answer.error["code"]) == (403, "FORBIDDEN")
    assert (await reader.imported(b"")).status == 403


async def test_a_token_can_be_narrower_than_its_role(ann: Client) -> None:
    narrow = tokens.token(sub=ann.user_id, scope="tasks:read")
    headers = {"Authorization": f"Bearer {narrow}"}
    assert (await ann.get("/v2/tasks", headers=headers)).status == 200
    assert (await ann.call("POST", "/v2/tasks", NEW, headers=headers)).status == 403


async def test_only_an_admin_names_another_owner(ann: Client, bob: Client, admin: Client) -> None:
    task = await ann.created()
    query = f"?owner_id={ann.user_id}"
    for method, path, body in [*operations(task["id"]), *collections()]:
        for caller in (bob, ann):
            answer = await caller.call(method, path + query, body)
            assert (answer.status, set(answer.details)) == (403, {"owner_id"}), path
    assert (await bob.imported(b'{"title": "t"}', query)).status == 403
    assert (await ann.get("/v2/tasks")).data["results"] == [task]

    assert (await admin.get(f"/v2/tasks/{task['id']}")).status == 404
    assert (await admin.get(f"/v2/tasks/{task['id']}{query}")).data == task
    assert (await admin.get(f"/v2/tasks{query}")).data["results"] == [task]
    made = await admin.call("POST", f"/v2/tasks{query}", {"title": "from above"})
    assert (await ann.get(f"/v2/tasks/{made.data['id']}")).data == made.data
    assert (await admin.imported(b'{"title": "t"}', query)).data["imported"] == 1
    assert (await ann.get("/v2/tasks")).data["count"] == 3
    assert (await admin.get("/v2/tasks")).data["count"] == 0
