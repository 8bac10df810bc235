"""The trash: what is in it, and the way back."""

import asyncio
from datetime import datetime, timedelta

import asyncpg

from services.tasks.domain import MAX_LEVELS
from tests.service.tasks.client import Answer, Client


async def restore(client: Client, task_id: str, **headers: str) -> Answer:
    return await client.call("POST", f"/v2/tasks/{task_id}/restore", headers=headers)


async def delete(client: Client, task_id: str) -> None:
    assert (await client.call("DELETE", f"/v2/tasks/{task_id}")).status == 204


async def test_nobody_restores_what_is_not_his(
    ann: Client, bob: Client, reader: Client, admin: Client
) -> None:
    task = await ann.created()
    await delete(ann, task["id"])
    assert (await restore(bob, task["id"])).status == 404
    assert (await restore(reader, task["id"])).status == 403
    assert (await restore(ann, "x")).status == 422
    assert (await bob.get("/v2/tasks/trash")).data["results"] == []
    assert (await ann.get("/v2/tasks/trash?page_size=101")).status == 422
    path = f"/v2/tasks/{task['id']}/restore?owner_id={ann.user_id}"
    assert (await bob.call("POST", path)).status == 403
    assert (await admin.call("POST", path)).status == 200


async def test_trash_says_when_it_is_emptied(ann: Client) -> None:
    tasks = [await ann.created(title=str(number)) for number in range(3)]
    for task in tasks:
        await delete(ann, task["id"])
    page = (await ann.get("/v2/tasks/trash?page_size=2")).data
    assert page["count"] == 3
    assert [task["title"] for task in page["results"]] == ["2", "1"]
    rest = (await ann.get(page["next"].removeprefix("/api"))).data
    assert [task["title"] for task in rest["results"]] == ["0"]
    shown = rest["results"][0]
    kept = datetime.fromisoformat(shown["purge_at"]) - datetime.fromisoformat(shown["deleted_at"])
    assert kept == timedelta(days=30)
    beyond = (await ann.get("/v2/tasks/trash?page=9")).data
    assert (beyond["count"], beyond["results"]) == (3, [])


async def test_restore_brings_back_what_was_deleted_together(ann: Client) -> None:
    root = await ann.created(title="root", completed=True)
    child = await ann.created(title="child", parent_id=root["id"])
    grandchild = await ann.created(title="grandchild", parent_id=child["id"])
    earlier = await ann.created(title="earlier", parent_id=root["id"])
    await delete(ann, earlier["id"])
    await delete(ann, root["id"])
    answer = await restore(ann, root["id"])
    assert answer.status == 200
    assert answer.data["title"] == "root"
    assert answer.headers["ETag"] == answer.data["etag"]
    assert set(await ann.stored()) == {root["id"], child["id"], grandchild["id"]}
    assert [change["type"] for change in await ann.changes()][-3:] == ["task.restored"] * 3
    assert await ann.replayed() == await ann.stored()
    again = await restore(ann, root["id"])
    assert (again.status, again.data) == (200, answer.data)


async def test_child_comes_back_without_its_parent(ann: Client) -> None:
    root = await ann.created()
    child = await ann.created(parent_id=root["id"])
    await delete(ann, root["id"])
    back = (await restore(ann, child["id"])).data
    assert back["parent_id"] is None
    assert set(await ann.stored()) == {child["id"]}
    await restore(ann, root["id"])
    assert (await ann.get(f"/v2/tasks/{child['id']}")).data == back


async def test_restore_minds_the_etag(ann: Client) -> None:
    task = await ann.created()
    await delete(ann, task["id"])
    trashed = (await ann.get("/v2/tasks/trash")).data["results"][0]
    stale = {"If-Match": task["etag"]}
    path = f"/v2/tasks/{task['id']}/restore"
    assert (await ann.call("POST", path, headers=stale)).status == 412
    good = {"If-Match": trashed["etag"]}
    assert (await ann.call("POST", path, headers=good)).status == 200


async def test_restore_that_cannot_be(ann: Client) -> None:
    task = await ann.created(external_id="x")
    await delete(ann, task["id"])
    await ann.created(external_id="x")
    answer = await restore(ann, task["id"])
    assert answer.status == 409
    assert set(answer.details) == {"external_id"}
    top = await ann.created()
    branch = await ann.created(parent_id=top["id"])
    leaf = await ann.created(parent_id=branch["id"])
    await delete(ann, leaf["id"])
    above = None
    for _ in range(MAX_LEVELS - 1):
        above = (await ann.created(parent_id=above))["id"]
    moved = await ann.call("PATCH", f"/v2/tasks/{branch['id']}", {"parent_id": above})
    assert moved.status == 200
    answer = await restore(ann, leaf["id"])
    assert answer.status == 409
    assert set(answer.details) == {"parent_id"}
    assert await ann.replayed() == await ann.stored()


async def test_two_restore_at_once(ann: Client) -> None:
    task = await ann.created()
    await delete(ann, task["id"])
    answers = await asyncio.gather(*(restore(ann, task["id"]) for _ in range(6)))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1
    assert [change["type"] for change in await ann.changes()][2:] == ["task.restored"]


async def test_what_was_purged_is_gone(ann: Client, tasks_database_url: str) -> None:
    task = await ann.created()
    await delete(ann, task["id"])
    connection = await asyncpg.connect(tasks_database_url)
    await connection.execute("DELETE FROM tasks WHERE deleted_at IS NOT NULL")
    await connection.close()
    assert (await restore(ann, task["id"])).status == 404
