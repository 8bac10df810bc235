"""Webhooks as their owners handle them."""

from typing import Any

import pytest

from tests.service.tasks.client import Client

GOOD = {"url": "https://example.org/hook"}
MISSING = "01a1fc30-8431-7561-a859-16967aeee507"


async def created(client: Client, **fields: Any) -> dict[str, Any]:
    answer = await client.call("POST", "/v2/webhooks", {**GOOD, **fields})
    assert answer.status == 201, answer.body
    webhook: dict[str, Any] = answer.data
    assert answer.headers["Location"] == f"/api/v2/webhooks/{webhook['id']}"
    return webhook


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"url": None},
        {"url": ""},
        {"url": "ftp://example.org"},
        {"url": "https://"},
        {"url": "https://user:word@example.org/"},
        {"url": "https://example.org:0/"},
        {"url": "https://example.org:65536/"},
        {"url": "https://example.org/#part"},
        {"url": "https://example.org/a b"},
        {"url": "https://exämple.org/"},
        {"url": "https://example.org\n"},
        {"url": "https://-.org/"},
        {"url": "https://example.org/" + "x" * 2000},
        {**GOOD, "events": []},
        {**GOOD, "events": ["task.painted"]},
        {**GOOD, "events": ["task.created", "task.created"]},
        {**GOOD, "events": "task.created"},
        {**GOOD, "enabled": 1},
        {**GOOD, "description": "x" * 201},
        {**GOOD, "secret": "mine"},
    ],
)
async def test_refused_webhooks(ann: Client, body: Any) -> None:
    answer = await ann.call("POST", "/v2/webhooks", body)
    assert answer.status == 422
    assert (await ann.get("/v2/webhooks")).data == {"results": []}


async def test_webhooks_of_others(ann: Client, bob: Client, reader: Client) -> None:
    webhook = await created(ann)
    path = f"/v2/webhooks/{webhook['id']}"
    delivery = (await ann.call("POST", f"{path}/test")).data
    calls: list[tuple[str, str, Any]] = [
        ("GET", path, None),
        ("PATCH", path, {"enabled": False}),
        ("DELETE", path, None),
        ("POST", f"{path}/rotate-secret", None),
        ("POST", f"{path}/test", None),
        ("GET", f"{path}/deliveries", None),
        ("POST", f"{path}/redeliver", {"since": "2026-01-01T00:00:00Z"}),
        ("POST", f"/v2/deliveries/{delivery['id']}/redeliver", None),
    ]
    for method, url, body in calls:
        assert (await bob.call(method, url, body)).status == 404, url
        if method != "GET":
            assert (await reader.call(method, url, body)).status == 403, url
        gone = url.replace(webhook["id"], MISSING).replace(delivery["id"], MISSING)
        assert (await ann.call(method, gone, body)).status == 404, url
    assert (await ann.get(path)).data["enabled"] is True


async def test_life_of_a_webhook(ann: Client) -> None:
    webhook = await created(ann, events=["task.completed"], description="mine")
    secret = webhook.pop("secret")
    assert secret.startswith("whsec_")
    path = f"/v2/webhooks/{webhook['id']}"
    assert (await ann.get(path)).data == webhook
    assert (await ann.get("/v2/webhooks")).data == {"results": [webhook]}
    patched = (await ann.call("PATCH", path, {"enabled": False, "description": None})).data
    assert (patched["enabled"], patched["description"]) == (False, None)
    assert patched["events"] == ["task.completed"]
    rotated = (await ann.call("POST", f"{path}/rotate-secret")).data
    assert rotated["secret"] != secret
    assert rotated["previous_secret_until"] is not None
    assert (await ann.call("DELETE", path)).status == 204
    assert (await ann.get(path)).status == 404


async def test_no_more_than_twenty(ann: Client) -> None:
    for _ in range(20):
        await created(ann)
    assert (await ann.call("POST", "/v2/webhooks", GOOD)).status == 409


async def test_only_what_was_asked_for_is_queued(ann: Client, bob: Client) -> None:
    done = await created(ann, events=["task.completed"])
    every = await created(ann)
    off = await created(ann, enabled=False)
    foreign = await created(bob)
    task = await ann.created()
    await ann.call("PATCH", f"/v2/tasks/{task['id']}", {"completed": True})
    await ann.call("DELETE", f"/v2/tasks/{task['id']}")

    async def types(client: Client, webhook: dict[str, Any]) -> list[str]:
        page = (await client.get(f"/v2/webhooks/{webhook['id']}/deliveries")).data
        assert page["count"] == len(page["results"])
        return [delivery["type"] for delivery in page["results"]]

    assert await types(ann, done) == ["task.completed"]
    assert sorted(await types(ann, every)) == ["task.completed", "task.created", "task.deleted"]
    assert await types(ann, off) == []
    assert await types(bob, foreign) == []
    path = f"/v2/webhooks/{every['id']}/deliveries"
    sequences = {
        delivery["event_id"]: delivery["sequence"]
        for delivery in (await ann.get(path)).data["results"]
    }
    assert sequences == {one["id"]: one["sequence"] for one in await ann.changes()}
    assert (await ann.get(f"{path}?state=dead")).data["results"] == []
    assert (await ann.get(f"{path}?state=lost")).status == 422
