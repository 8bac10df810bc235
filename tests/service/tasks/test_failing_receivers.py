"""What becomes of a webhook whose receiver fails, and how its owner gets what he missed."""

from datetime import datetime, timedelta
from typing import Any

import asyncpg
import pytest

from services.tasks.settings import Settings
from services.tasks.usecases import webhooks
from tests.service.tasks.client import Client
from tests.service.tasks.receiver import (
    Receiver,
    hook,
    log_of,
    logged,
    until,
    until_it,
    working,
)


async def age(settings: Settings, statement: str) -> None:
    """Moves a time in the database, as only time itself does otherwise."""
    connection = await asyncpg.connect(settings.database_url)
    await connection.execute(statement)
    await connection.close()


async def shown(client: Client, webhook: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get(f"/v2/webhooks/{webhook['id']}")).data
    return found


async def test_after_days_of_failures_a_webhook_is_disabled_and_says_why(
    ann: Client, receiver: Receiver, settings: Settings
) -> None:
    webhook = await hook(ann, receiver, "a")
    receiver.answer = lambda _name, _event: 500
    slow = {"webhooks_schedule_scale": 1.0}
    await ann.created()
    async with working(settings, **slow):
        await until(lambda: bool(receiver.got["a"]))

        async def failing() -> bool:
            return (await shown(ann, webhook))["failing_since"] is not None

        await until_it(failing)
    assert (await shown(ann, webhook))["enabled"] is True
    await age(settings, "UPDATE webhooks SET failing_since = now() - interval '6 days'")
    await age(settings, "UPDATE deliveries SET next_attempt_at = now()")
    async with working(settings, **slow):

        async def disabled() -> bool:
            return not (await shown(ann, webhook))["enabled"]

        await until_it(disabled)
    notice = await shown(ann, webhook)
    assert notice["disabled_reason"] == "Every delivery failed for days."
    assert notice["failing_since"] is not None
    # What waits is still there, and comes when the owner has mended his receiver.
    assert [one["state"] for one in await log_of(ann, webhook)] == ["pending"]
    receiver.answer = lambda _name, _event: 200
    enabled = await ann.call("PATCH", f"/v2/webhooks/{webhook['id']}", {"enabled": True})
    assert enabled.data["disabled_reason"] is None
    await age(settings, "UPDATE deliveries SET next_attempt_at = now()")
    async with working(settings):
        await logged(ann, webhook, "delivered", 1)


async def test_a_success_ends_the_days_of_failures(
    ann: Client, receiver: Receiver, settings: Settings
) -> None:
    webhook = await hook(ann, receiver, "a")
    await ann.created()
    await age(settings, "UPDATE webhooks SET failing_since = now() - interval '6 days'")
    async with working(settings):
        await logged(ann, webhook, "delivered", 1)
    found = await shown(ann, webhook)
    assert (found["enabled"], found["failing_since"]) == (True, None)


async def test_a_receiver_may_ask_for_a_longer_pause(
    ann: Client, receiver: Receiver, settings: Settings
) -> None:
    webhook = await hook(ann, receiver, "a")
    receiver.answer = lambda _name, _event: 429
    receiver.answer_headers = {"Retry-After": "3600"}
    await ann.created()
    async with working(settings):

        async def booked() -> bool:
            return bool((await log_of(ann, webhook))[0]["last_status"] == 429)

        await until_it(booked)
    one = (await log_of(ann, webhook))[0]
    pause = moment(one["next_attempt_at"]) - moment(one["last_attempt_at"])
    assert timedelta(hours=1) <= pause < timedelta(hours=2)
    assert (one["state"], one["attempts"]) == ("pending", 1)


@pytest.mark.parametrize("state", ["dead", "delivered"])
async def test_redelivery_by_time_takes_what_was_made_in_that_time(
    ann: Client, receiver: Receiver, settings: Settings, state: str
) -> None:
    webhook = await hook(ann, receiver, "a")
    for title in ("early", "within", "late"):
        await ann.created(title=title)
    early, within, late = (
        moment(one["created_at"])
        for one in sorted(await log_of(ann, webhook), key=lambda one: one["sequence"])
    )
    receiver.answer = lambda _name, _event: 500 if state == "dead" else 200
    body = {
        "since": (early + timedelta(microseconds=1)).isoformat(),
        "until": late.isoformat(),
        "states": [state],
    }
    assert early < within < late
    async with working(settings):
        await logged(ann, webhook, state, 3)
        receiver.answer = lambda _name, _event: 200
        receiver.got.clear()
        path = f"/v2/webhooks/{webhook['id']}/redeliver"
        assert (await ann.call("POST", path, body)).data == {"count": 1, "next": None}
        await logged(ann, webhook, "delivered", 1 if state == "dead" else 3)
        await until(lambda: bool(receiver.got["a"]))
    assert [event["data"]["title"] for event in receiver.got["a"]] == ["within"]


async def test_a_long_time_is_redelivered_part_by_part(
    ann: Client, receiver: Receiver, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "MAX_AGAIN", 2)
    webhook = await hook(ann, receiver, "a")
    for _ in range(5):
        await ann.created()
    path, body = f"/v2/webhooks/{webhook['id']}/redeliver", {"since": "2020-01-01T00:00:00Z"}
    async with working(settings):
        await logged(ann, webhook, "delivered", 5)
    counts: list[int] = []
    since: str | None = body["since"]
    while since is not None:
        again = await ann.call("POST", path, {"since": since, "states": ["delivered"]})
        counts.append(again.data["count"])
        since = again.data["next"]
    assert (sum(counts), max(counts)) == (5, 2)
    assert {one["state"] for one in await log_of(ann, webhook)} == {"pending"}


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
