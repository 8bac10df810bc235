"""The worker delivers: signed, in order, again when it must, and not everywhere."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import orjson
import pytest
from aiohttp import web
from standardwebhooks.webhooks import Webhook

from services.tasks.settings import Settings
from services.tasks.webhooks import delivery
from services.tasks.webhooks.delivery import AT_ONCE
from services.tasks.worker import start_worker
from tests.service.tasks.client import Client, address_of

PATIENCE_SECONDS = 20.0


class Receiver:
    """Takes events at `/{name}`; what it answers each name is set by the test."""

    def __init__(self) -> None:
        self.got: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.headers: dict[str, list[dict[str, str]]] = defaultdict(list)
        self.bodies: dict[str, list[bytes]] = defaultdict(list)
        self.answer: Callable[[str, dict[str, Any]], int] = lambda _name, _event: 204
        self.url = ""
        self.hangs: set[str] = set()

    async def take(self, request: web.Request) -> web.Response:
        name, body = request.match_info["name"], await request.read()
        event = orjson.loads(body)
        self.got[name].append(event)
        self.bodies[name].append(body)
        self.headers[name].append({key.lower(): value for key, value in request.headers.items()})
        if name in self.hangs:
            await asyncio.sleep(PATIENCE_SECONDS)
        status = self.answer(name, event)
        headers = {"Location": f"{self.url}/elsewhere"} if status == 307 else {}
        return web.Response(status=status, headers=headers)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    taker = Receiver()
    app = web.Application()
    app.router.add_post("/{name}", taker.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    taker.url = await address_of(runner)
    yield taker
    await runner.cleanup()


@pytest.fixture
def settings(tasks_database_url: str) -> Settings:
    return Settings(
        database_url=tasks_database_url,
        worker_ops_port=0,
        webhooks_allow_private=True,
        webhooks_schedule_scale=0.0,
        webhooks_poll_seconds=0.02,
    )


@asynccontextmanager
async def working(settings: Settings, **changes: Any) -> AsyncIterator[None]:
    async with start_worker(replace(settings, **changes)):
        yield


async def hook(client: Client, receiver: Receiver, name: str, **fields: Any) -> dict[str, Any]:
    body = {"url": f"{receiver.url}/{name}", **fields}
    answer = await client.call("POST", "/v2/webhooks", body)
    assert answer.status == 201, answer.body
    webhook: dict[str, Any] = answer.data
    return webhook


async def until(condition: Callable[[], bool]) -> None:
    async def holds() -> bool:
        return condition()

    await until_it(holds)


async def until_it(condition: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(int(PATIENCE_SECONDS / 0.02)):
        if await condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it did not come to pass")


async def log_of(client: Client, webhook: dict[str, Any]) -> list[dict[str, Any]]:
    path = f"/v2/webhooks/{webhook['id']}/deliveries?page_size=100"
    found: list[dict[str, Any]] = (await client.get(path)).data["results"]
    return found


async def logged(client: Client, webhook: dict[str, Any], state: str, count: int) -> None:
    async def there() -> bool:
        return [one["state"] for one in await log_of(client, webhook)].count(state) >= count

    await until_it(there)


async def test_events_are_signed_and_tell_what_changed(
    ann: Client, receiver: Receiver, settings: Settings
) -> None:
    webhook = await hook(ann, receiver, "a")
    task = await ann.created(title="before")
    async with working(settings):
        path = f"/v2/tasks/{task['id']}"
        changed = (await ann.call("PATCH", path, {"title": "after", "completed": True})).data
        await ann.call("DELETE", path)
        await until(lambda: len(receiver.got["a"]) == 3)
        await logged(ann, webhook, "delivered", 3)
    created, completed, deleted = receiver.got["a"]
    assert (created["type"], created["data"]) == ("task.created", task)
    assert "previous" not in created
    assert completed["event"] == completed["type"] == "task.completed"
    assert completed["data"] == changed
    assert completed["previous"] == {"title": "before", "completed": False, "completed_at": None}
    assert deleted["type"] == "task.deleted"
    feed = await ann.changes()
    assert [(one["id"], one["sequence"]) for one in receiver.got["a"]] == [
        (one["id"], one["sequence"]) for one in feed
    ]
    verifier = Webhook(webhook["secret"])
    for body, headers in zip(receiver.bodies["a"], receiver.headers["a"], strict=True):
        assert verifier.verify(body, headers)
        assert headers["webhook-id"] == orjson.loads(body)["id"]


async def test_both_secrets_sign_while_they_overlap(
    ann: Client, receiver: Receiver, settings: Settings
) -> None:
    webhook = await hook(ann, receiver, "a")
    path = f"/v2/webhooks/{webhook['id']}"
    rotated = (await ann.call("POST", f"{path}/rotate-secret")).data
    delivery = await ann.call("POST", f"{path}/test")
    assert delivery.status == 202
    async with working(settings):
        await until(lambda: bool(receiver.got["a"]))
    for secret in (webhook["secret"], rotated["secret"]):
        assert Webhook(secret).verify(receiver.bodies["a"][0], receiver.headers["a"][0])
    assert receiver.got["a"][0]["type"] == "webhook.test"


async def test_failures_are_tried_again_and_then_dead(
    ann: Client, receiver: Receiver, settings: Settings
) -> None:
    webhook = await hook(ann, receiver, "a")
    await ann.created()
    receiver.answer = lambda _name, _event: 500
    async with working(settings):
        await logged(ann, webhook, "dead", 1)
        assert len(receiver.got["a"]) == 10
        assert len(set(receiver.bodies["a"])) == 1
        dead = (await log_of(ann, webhook))[0]
        assert (dead["attempts"], dead["last_status"]) == (10, 500)
        assert dead["next_attempt_at"] is None
        assert (await ann.get(f"/v2/webhooks/{webhook['id']}")).data["failing_since"] is not None
        receiver.answer = lambda _name, _event: 200
        again = await ann.call("POST", f"/v2/deliveries/{dead['id']}/redeliver")
        assert (again.status, again.data["state"]) == (202, "pending")
        await logged(ann, webhook, "delivered", 1)
        assert (await ann.get(f"/v2/webhooks/{webhook['id']}")).data["failing_since"] is None
    assert len({event["id"] for event in receiver.got["a"]}) == 1


async def test_redelivery_of_some_time(ann: Client, receiver: Receiver, settings: Settings) -> None:
    webhook = await hook(ann, receiver, "a")
    for _ in range(3):
        await ann.created()
    path = f"/v2/webhooks/{webhook['id']}/redeliver"
    async with working(settings):
        await logged(ann, webhook, "delivered", 3)
        body = {"since": "2020-01-01T00:00:00Z"}
        assert (await ann.call("POST", path, body)).data == {"count": 0}
        body["states"] = ["delivered"]  # type: ignore[assignment]
        assert (await ann.call("POST", path, body)).data == {"count": 3}
        await until(lambda: len(receiver.got["a"]) == 6)
    for bad in ({}, {"since": "2020"}, {**body, "states": ["x"]}, {**body, "more": 1}):
        assert (await ann.call("POST", path, bad)).status == 422


async def test_order_per_task_holds_over_failures(
    ann: Client, receiver: Receiver, settings: Settings
) -> None:
    await hook(ann, receiver, "a")
    refused: set[str] = set()

    def first_time_refused(_name: str, event: dict[str, Any]) -> int:
        if event["id"] in refused:
            return 200
        refused.add(event["id"])
        return 503

    receiver.answer = first_time_refused
    tasks = [await ann.created(title="0") for _ in range(3)]
    for title in ("1", "2"):
        for task in tasks:
            await ann.call("PATCH", f"/v2/tasks/{task['id']}", {"title": title})
    async with working(settings):
        await until(lambda: len(receiver.got["a"]) == 18)
    for task in tasks:
        titles = [
            one["data"]["title"] for one in receiver.got["a"] if one["data"]["id"] == task["id"]
        ]
        assert titles == ["0", "0", "1", "1", "2", "2"]


async def test_gone_receiver_is_disabled(
    ann: Client, receiver: Receiver, settings: Settings
) -> None:
    webhook = await hook(ann, receiver, "a")
    path = f"/v2/webhooks/{webhook['id']}"
    receiver.answer = lambda _name, _event: 410
    await ann.created()
    async with working(settings):

        async def disabled() -> bool:
            return not (await ann.get(path)).data["enabled"]

        await until_it(disabled)
        assert "410" in (await ann.get(path)).data["disabled_reason"]
        attempts = len(receiver.got["a"])
        await ann.created()
        receiver.answer = lambda _name, _event: 200
        assert (await ann.call("PATCH", path, {"enabled": True})).data["disabled_reason"] is None
        await logged(ann, webhook, "delivered", 1)
        assert len(receiver.got["a"]) == attempts + 1


async def test_redirects_are_failures(ann: Client, receiver: Receiver, settings: Settings) -> None:
    webhook = await hook(ann, receiver, "a")
    receiver.answer = lambda _name, _event: 307
    await ann.created()
    async with working(settings):
        await logged(ann, webhook, "dead", 1)
    assert set(receiver.got) == {"a"}


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "0.0.0.0", "127.1", "2130706433"])
async def test_nothing_is_sent_to_inner_addresses(
    ann: Client, receiver: Receiver, settings: Settings, host: str
) -> None:
    inner = receiver.url.replace("127.0.0.1", host)
    body = {"url": f"{inner}/a"}
    webhook = (await ann.call("POST", "/v2/webhooks", body)).data
    await ann.created()
    async with working(settings, webhooks_allow_private=False):
        await logged(ann, webhook, "dead", 1)
    assert receiver.got == {}


async def test_dead_receiver_delays_nobody(
    ann: Client, receiver: Receiver, settings: Settings
) -> None:
    receiver.hangs = {"dead"}
    names = ["dead", *(f"good{number}" for number in range(4))]
    for name in names:
        await hook(ann, receiver, name)
    for _ in range(60):
        await ann.created()
    async with working(settings):
        await until(lambda: all(len(receiver.got[name]) == 60 for name in names[1:]))
        assert 1 <= len(receiver.got["dead"]) <= AT_ONCE


async def test_many_dead_receivers_leave_room_for_the_others(
    ann: Client,
    bob: Client,
    receiver: Receiver,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(delivery, "WEBHOOKS_AT_ONCE", 3)
    monkeypatch.setattr(delivery, "_PROMPT_SECONDS", 0.05)
    dead = [f"dead{number}" for number in range(6)]
    receiver.hangs = set(dead)
    for name in dead:
        await hook(ann, receiver, name)
    await hook(bob, receiver, "good")
    await ann.created()
    async with working(settings):
        # All that may be served at once hang, and the attempts to them do not end before the test.
        await until(lambda: set(dead) <= set(receiver.got))
        await bob.created()
        await until(lambda: len(receiver.got["good"]) == 1)
    assert {len(receiver.got[name]) for name in dead} == {1}
