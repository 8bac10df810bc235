"""Signing secrets lie encrypted in the database, and stay readable while the keys change."""

import asyncio
import base64
from dataclasses import replace
from typing import Any

import asyncpg
from prometheus_client import CollectorRegistry
from standardwebhooks.webhooks import Webhook

from services.tasks.repository.webhooks import WebhookRepository
from services.tasks.settings import Settings
from services.tasks.usecases.secrets import Resealed, reseal
from shared.database import Database, Store
from shared.sealing import SealingKeys
from tests.sealing import NEW, OLD
from tests.service.tasks.client import Client
from tests.service.tasks.receiver import Receiver, hook, log_of, until, until_it, working


def plain(webhook: dict[str, Any]) -> bytes:
    """The secret that the owner was shown."""
    return base64.b64decode(webhook["secret"].removeprefix("whsec_"))


async def sql(url: str, statement: str, *arguments: Any) -> list[Any]:
    connection = await asyncpg.connect(url)
    try:
        rows: list[Any] = await connection.fetch(statement, *arguments)
        return rows
    finally:
        await connection.close()


async def resealed(url: str, keys: str, batch: int = 2) -> Resealed:
    database = Database(url, CollectorRegistry(), application="test", max_size=1)
    await database.open()
    try:
        return await reseal(Store(database, WebhookRepository), SealingKeys.parse(keys), batch)
    finally:
        await database.close()


async def test_no_secret_can_be_read_in_the_database(
    ann: Client, receiver: Receiver, tasks_database_url: str
) -> None:
    made = await hook(ann, receiver, "a")
    rotated = (await ann.call("POST", f"/v2/webhooks/{made['id']}/rotate-secret")).data
    [row] = await sql(tasks_database_url, "SELECT * FROM webhooks")
    for shown in (made, rotated):
        assert all(plain(shown) not in bytes(row[name]) for name in ("secret", "previous_secret"))


async def test_a_secret_that_was_moved_to_another_row_signs_nothing(
    ann: Client, receiver: Receiver, settings: Settings
) -> None:
    mine, other = await hook(ann, receiver, "a"), await hook(ann, receiver, "b")
    await sql(
        settings.database_url,
        "UPDATE webhooks SET secret = (SELECT secret FROM webhooks WHERE id = $1) WHERE id = $2",
        mine["id"],
        other["id"],
    )
    await ann.created()
    async with working(replace(settings, webhooks_schedule_scale=1.0)):
        await until(lambda: len(receiver.got["a"]) == 1)

        async def told() -> bool:
            [delivery] = await log_of(ann, other)
            return bool(delivery["last_error"] == "The signing secret cannot be read.")

        await until_it(told)
    assert receiver.got["b"] == []


async def test_a_rotation_is_the_way_out_of_a_secret_that_is_lost(
    ann: Client, receiver: Receiver, settings: Settings
) -> None:
    made = await hook(ann, receiver, "a")
    await sql(
        settings.database_url,
        "UPDATE webhooks SET secret = set_byte(secret, 60, get_byte(secret, 60) # 1)",
    )
    answer = await ann.call("POST", f"/v2/webhooks/{made['id']}/rotate-secret")
    assert answer.status == 200
    await ann.created()
    async with working(settings):
        await until(lambda: len(receiver.got["a"]) == 1)
    Webhook(answer.data["secret"]).verify(receiver.bodies["a"][0], receiver.headers["a"][0])


async def test_new_keys_lose_no_secret(ann: Client, receiver: Receiver, settings: Settings) -> None:
    hooks = [await hook(ann, receiver, f"h{number}") for number in range(5)]
    rotated = (await ann.call("POST", f"/v2/webhooks/{hooks[0]['id']}/rotate-secret")).data
    url = settings.database_url
    assert await resealed(url, OLD) == Resealed(seen=5, changed=0, unreadable=0)
    assert await resealed(url, f"{NEW},{OLD}") == Resealed(seen=5, changed=5, unreadable=0)
    assert await resealed(url, NEW) == Resealed(seen=5, changed=0, unreadable=0)
    await ann.created()
    async with working(settings, encryption_keys=NEW):
        await until(lambda: all(receiver.got[f"h{number}"] for number in range(5)))
    for shown, name in ((hooks[0], "h0"), (rotated, "h0"), (hooks[4], "h4")):
        Webhook(shown["secret"]).verify(receiver.bodies[name][0], receiver.headers[name][0])


async def test_what_was_stored_plain_is_delivered_and_is_encrypted_by_the_command(
    ann: Client, receiver: Receiver, settings: Settings
) -> None:
    made = await hook(ann, receiver, "a")
    url = settings.database_url
    await sql(url, "UPDATE webhooks SET secret = $1", plain(made))
    await ann.created()
    async with working(settings):
        await until(lambda: len(receiver.got["a"]) == 1)
        assert await resealed(url, OLD) == Resealed(seen=1, changed=1, unreadable=0)
        await ann.created()
        await until(lambda: len(receiver.got["a"]) == 2)
    [row] = await sql(url, "SELECT secret FROM webhooks")
    assert plain(made) not in row["secret"]
    for body, headers in zip(receiver.bodies["a"], receiver.headers["a"], strict=True):
        Webhook(made["secret"]).verify(body, headers)


async def test_the_worker_delivers_while_secrets_are_encrypted_again(
    ann: Client, receiver: Receiver, settings: Settings
) -> None:
    hooks = [await hook(ann, receiver, f"h{number}") for number in range(4)]
    names = [f"h{number}" for number in range(4)]
    both = (f"{NEW},{OLD}", f"{OLD},{NEW}")
    async with working(settings, encryption_keys=both[1]):
        changed = 0
        for turn in range(6):
            _, done = await asyncio.gather(
                ann.created(), resealed(settings.database_url, both[turn % 2], batch=1)
            )
            changed += done.changed
        await until(lambda: all(len(receiver.got[name]) == 6 for name in names))
    assert changed == 24
    for made, name in zip(hooks, names, strict=True):
        for body, headers in zip(receiver.bodies[name], receiver.headers[name], strict=True):
            Webhook(made["secret"]).verify(body, headers)


async def test_what_cannot_be_read_is_counted_and_left_alone(
    ann: Client, receiver: Receiver, settings: Settings
) -> None:
    await hook(ann, receiver, "a")
    before = await sql(settings.database_url, "SELECT secret FROM webhooks")
    assert await resealed(settings.database_url, NEW) == Resealed(seen=1, changed=0, unreadable=1)
    assert await sql(settings.database_url, "SELECT secret FROM webhooks") == before
