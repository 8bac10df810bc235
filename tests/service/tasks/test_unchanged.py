"""Lists that have not changed are not sent again, and every change is a change."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.service.tasks.client import Answer, Client

LISTS = ["/v2/tasks?page_size=2", "/v2/tasks?cursor=&page_size=2", "/v1/tasks?limit=2"]


async def again(client: Client, path: str, tag: str) -> Answer:
    return await client.get(path, headers={"If-None-Match": tag})


@pytest.mark.parametrize("path", LISTS)
async def test_a_list_that_is_known_is_not_sent(ann: Client, bob: Client, path: str) -> None:
    await ann.created()
    first = await ann.get(path)
    tag = first.headers["ETag"]
    assert first.headers["Cache-Control"] == "private, no-cache"
    for known in (tag, f'"x", W/{tag}', "*"):
        answer = await again(ann, path, known)
        assert (answer.status, answer.body, answer.headers["ETag"]) == (304, b"", tag)
    assert (await ann.get(path)).body == first.body
    # Another list has another tag, and nobody else has a list of this one.
    assert (await again(ann, f"{path}&completed=true", tag)).status == 200
    assert (await again(bob, path, tag)).status == 200
    assert (await ann.get(path)).headers["ETag"] == tag


async def test_an_owner_without_tasks(ann: Client) -> None:
    first = await ann.get("/v2/tasks")
    assert (await again(ann, "/v2/tasks", first.headers["ETag"])).status == 304
    await ann.created()
    assert (await again(ann, "/v2/tasks", first.headers["ETag"])).data["count"] == 1


Write = Callable[[Client, dict[str, Any]], Awaitable[Any]]
WRITES: dict[str, Write] = {
    "create": lambda ann, _: ann.created(),
    "create below": lambda ann, task: ann.created(parent_id=task["id"]),
    "patch": lambda ann, task: ann.call("PATCH", f"/v2/tasks/{task['id']}", {"priority": 4}),
    "put": lambda ann, task: ann.call("PUT", f"/v2/tasks/{task['id']}", {"title": "Other"}),
    "v1": lambda ann, task: ann.call("PUT", f"/v1/tasks/{task['id']}", {"completed": True}),
    "delete": lambda ann, task: ann.call("DELETE", f"/v2/tasks/{task['id']}"),
    "restore": lambda ann, task: ann.call("POST", f"/v2/tasks/{task['id']}/restore"),
    "bulk": lambda ann, _: ann.call("POST", "/v2/tasks/bulk", {"tasks": [{"title": "a"}]}),
    "keyed": lambda ann, _: ann.call(
        "POST", "/v2/tasks", {"title": "a"}, headers={"Idempotency-Key": "k"}
    ),
    "import": lambda ann, _: ann.imported(b'{"title": "imported"}\n'),
}


async def test_every_write_is_seen_at_once(ann: Client, bob: Client) -> None:
    task = await ann.created()
    for name, write in WRITES.items():
        before = [await ann.get(path) for path in LISTS]
        await bob.created()
        for path, known in zip(LISTS, before, strict=True):
            assert (await again(ann, path, known.headers["ETag"])).status == 304, name
        await write(ann, task)
        for path, known in zip(LISTS, before, strict=True):
            after = await again(ann, path, known.headers["ETag"])
            assert after.status == 200, name
            assert after.headers["ETag"] != known.headers["ETag"], name
        for shown in (await ann.get(LISTS[0])).data["results"]:
            assert (await ann.get(f"/v2/tasks/{shown['id']}")).data == shown, name


async def test_an_admin_sees_each_owner_by_himself(ann: Client, bob: Client, admin: Client) -> None:
    await ann.created(title="of ann")
    await bob.created(title="of bob")
    for _ in range(2):
        for owner, title in ((ann, "of ann"), (bob, "of bob")):
            page = await admin.get(f"/v2/tasks?owner_id={owner.user_id}")
            assert [task["title"] for task in page.data["results"]] == [title]
    assert (await ann.get(f"/v2/tasks?owner_id={bob.user_id}")).status == 403


async def test_a_head_of_a_list(ann: Client) -> None:
    await ann.created()
    head = await ann.call("HEAD", "/v2/tasks")
    full = await ann.get("/v2/tasks")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["ETag"] == full.headers["ETag"]
    assert head.headers["Content-Length"] == str(len(full.body))


async def test_what_is_refused_is_refused_every_time(ann: Client) -> None:
    for _ in range(2):
        assert (await ann.get("/v2/tasks?cursor=AAAA")).status == 409
        assert (await ann.get("/v2/tasks?page_size=0")).status == 422
