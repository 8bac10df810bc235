"""The change feed: in commit order, without a gap, and equal to the table when replayed."""

import asyncio
import random

import asyncpg

from services.tasks.changes import snapshot
from services.tasks.domain import new_task
from services.tasks.schemas.v2 import TaskView
from shared.answers import projector
from shared.clock import utc_now
from shared.ids import uuid7
from shared.schemas import View
from tests.service.tasks.client import Client


def test_snapshot_is_the_task_of_version_2() -> None:
    assert issubclass(TaskView, View)
    task = new_task(uuid7(), {"title": "a", "labels": ["x"], "completed": True}, utc_now())
    assert snapshot(task) == projector(TaskView)(task)


async def test_unknown_tokens(ann: Client, bob: Client) -> None:
    await ann.created()
    await bob.created()
    own = (await ann.get("/v2/tasks/changes")).data["next"]
    for bad in ("x", "1", own + "0000000000000000000", own.replace("-", "."), own + "%00"):
        assert (await ann.get(f"/v2/tasks/changes?since={bad}")).status == 422, bad
    for query in ("limit=0", "limit=1001", "since=&since=", "from=1"):
        assert (await ann.get(f"/v2/tasks/changes?{query}")).status == 422, query
    for client, token, refusal in (
        (bob, own, (409, "CONFLICT")),
        (ann, own.split("-")[0] + "-99", (410, "GONE")),
    ):
        answer = await client.get(f"/v2/tasks/changes?since={token}")
        assert (answer.status, answer.error["code"]) == refusal
        fresh = answer.details["fresh_start"]
        page = (await client.get(f"/v2/tasks/changes?since={fresh}")).data
        assert page == {"changes": [], "next": fresh, "has_more": False}


async def test_feed_of_somebody_without_tasks(ann: Client) -> None:
    page = (await ann.get("/v2/tasks/changes")).data
    assert page["changes"] == []
    task = await ann.created()
    following = (await ann.get(f"/v2/tasks/changes?since={page['next']}")).data
    assert [change["task"] for change in following["changes"]] == [task]


async def test_feed_tells_every_change_once(ann: Client, bob: Client) -> None:
    task = await ann.created()
    path = f"/v2/tasks/{task['id']}"
    child = await ann.created(parent_id=task["id"])
    await bob.created()
    renamed = (await ann.call("PATCH", path, {"title": "b"})).data
    await ann.call("PATCH", path, {"title": "b"})
    done = (await ann.call("PUT", f"/v1/tasks/{task['id']}", {"completed": True})).data["task"]
    await ann.call("DELETE", path, headers={"If-Match": '"no"'})
    await ann.call("DELETE", path)
    changes = await ann.changes(limit=1)
    assert [(change["type"], change["task_id"]) for change in changes] == [
        ("task.created", task["id"]),
        ("task.created", child["id"]),
        ("task.updated", task["id"]),
        ("task.completed", task["id"]),
        ("task.deleted", task["id"]),
        ("task.deleted", child["id"]),
    ]
    assert [change["sequence"] for change in changes] == [1, 2, 3, 4, 5, 6]
    assert changes[2]["task"] == renamed
    assert changes[3]["at"] == done["updated_at"]
    assert changes[4]["task"] is None


async def test_replay_is_the_table_after_many_writers(ann: Client) -> None:
    chance = random.Random(5)
    known = [(await ann.created(title="first"))["id"]]

    async def write() -> None:
        for _ in range(12):
            kind = chance.randrange(6)
            target = chance.choice(known)
            if kind == 0:
                await ann.call("DELETE", f"/v2/tasks/{target}")
            elif kind == 1:
                await ann.call("PATCH", f"/v2/tasks/{target}", {"completed": True})
            elif kind == 2:
                await ann.call("PATCH", f"/v2/tasks/{target}", {"parent_id": chance.choice(known)})
            elif kind == 3:
                answer = await ann.call("POST", "/v1/tasks/bulk", [{"title": "x"}, {"title": "y"}])
                known.extend(task["id"] for task in answer.data["created"])
            elif kind == 4:
                name = f"e{chance.randrange(5)}"
                await ann.call("POST", "/v2/tasks", {"title": "z", "external_id": name})
            else:
                lines = b'{"title":"i","external_id":"e%d"}\n{"title":"j"}' % chance.randrange(5)
                assert (await ann.imported(lines)).status == 200

    await asyncio.gather(*(write() for _ in range(6)))
    assert await ann.replayed() == await ann.stored()


async def test_follower_never_misses_a_commit(ann: Client) -> None:
    seen: list[int] = []
    token, busy = "", True

    async def write() -> None:
        for _ in range(15):
            await ann.created()

    async def follow() -> None:
        nonlocal token
        last = False
        while not last:
            last = not busy
            page = (await ann.get(f"/v2/tasks/changes?since={token}&limit=7")).data
            seen.extend(change["sequence"] for change in page["changes"])
            token, more = page["next"], page["has_more"]
            last = last and not more

    follower = asyncio.create_task(follow())
    await asyncio.gather(*(write() for _ in range(4)))
    busy = False
    await follower
    assert seen == list(range(1, 61))


async def test_expired_token_begins_anew(ann: Client, tasks_database_url: str) -> None:
    await ann.created()
    token = (await ann.get("/v2/tasks/changes")).data["next"]
    await ann.created()
    await ann.created()
    connection = await asyncpg.connect(tasks_database_url)
    await connection.execute("DELETE FROM changes WHERE sequence <= 2")
    await connection.close()
    for since in ("", token):
        answer = await ann.get(f"/v2/tasks/changes?since={since}")
        assert answer.status == 410
    fresh = answer.details["fresh_start"]
    task = await ann.created()
    page = (await ann.get(f"/v2/tasks/changes?since={fresh}")).data
    assert [change["task"] for change in page["changes"]] == [task]
