"""The worker delivers: signed, in order, again when it must, and not everywhere."""

from typing import Any

import orjson
import pytest
from standardwebhooks.webhooks import Webhook

from services.tasks.settings import Settings
from services.tasks.webhooks import delivery
from services.tasks.webhooks.delivery import AT_ONCE
from tests.ports import free_port
from tests.service.tasks.client import Client
from tests.service.tasks.receiver import Receiver, hook, log_of, logged, until, until_it, working


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
        assert (await ann.call("POST", path, body)).data == {"count": 0, "next": None}
        body["states"] = ["delivered"]  # type: ignore[assignment]
        assert (await ann.call("POST", path, body)).data == {"count": 3, "next": None}
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


@pytest.mark.parametrize("death", ["hangs", "refuses", "fails"])
async def test_dead_receiver_delays_nobody(
    ann: Client, receiver: Receiver, settings: Settings, death: str
) -> None:
    names = [f"good{number}" for number in range(9)]
    if death == "refuses":
        nobody = {"url": f"http://127.0.0.1:{free_port()}/dead"}
        assert (await ann.call("POST", "/v2/webhooks", nobody)).status == 201
    else:
        await hook(ann, receiver, "dead")
    if death == "hangs":
        receiver.hangs = {"dead"}
    receiver.answer = lambda name, _event: 500 if name == "dead" else 204
    for name in names:
        await hook(ann, receiver, name)
    for _ in range(30):
        await ann.created()
    # Long pauses: what the dead one has to be told again waits until long after this test.
    async with working(settings, webhooks_schedule_scale=1_000.0):
        await until(lambda: all(len(receiver.got[name]) == 30 for name in names))
        # One that fails at once is asked for batch after batch, and for no event twice; one that
        # hangs is asked for no second batch meanwhile, and one that refuses gets nothing.
        told = [event["sequence"] for event in receiver.got["dead"]]
        assert len(told) == len(set(told))
        assert len(told) <= {"hangs": AT_ONCE, "refuses": 0, "fails": 30}[death]
    for name in names:
        assert {event["sequence"] for event in receiver.got[name]} == set(range(1, 31))


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
