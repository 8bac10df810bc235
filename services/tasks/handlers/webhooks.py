"""Webhooks and their deliveries."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from services.tasks.handlers.keys import SEALING, WEBHOOKS
from services.tasks.handlers.owner import PUBLIC_PREFIX, owner_of
from services.tasks.handlers.pages import page_links
from services.tasks.repository.webhooks import Webhook
from services.tasks.usecases import webhooks
from services.tasks.webhooks.signature import shown_secret
from shared.answers import Reply
from shared.endpoints import Given


async def create_webhook(request: web.Request, given: Given) -> Reply:
    webhook = await webhooks.create_webhook(
        request.app[WEBHOOKS], request.app[SEALING], owner_of(request, given), given.body
    )
    location = f"{PUBLIC_PREFIX}/v2/webhooks/{webhook.id}"
    return Reply(_with_secret(webhook), headers={"Location": location})


async def list_webhooks(request: web.Request, given: Given) -> Reply:
    found = await webhooks.list_webhooks(request.app[WEBHOOKS], owner_of(request, given))
    return Reply({"results": found})


async def get_webhook(request: web.Request, given: Given) -> Reply:
    return Reply(
        await webhooks.get_webhook(
            request.app[WEBHOOKS], owner_of(request, given), given.path["webhook_id"]
        )
    )


async def patch_webhook(request: web.Request, given: Given) -> Reply:
    return Reply(
        await webhooks.change_webhook(
            request.app[WEBHOOKS], owner_of(request, given), given.path["webhook_id"], given.body
        )
    )


async def delete_webhook(request: web.Request, given: Given) -> Reply:
    await webhooks.delete_webhook(
        request.app[WEBHOOKS], owner_of(request, given), given.path["webhook_id"]
    )
    return Reply()


async def rotate_secret(request: web.Request, given: Given) -> Reply:
    webhook = await webhooks.rotate_secret(
        request.app[WEBHOOKS],
        request.app[SEALING],
        owner_of(request, given),
        given.path["webhook_id"],
    )
    return Reply(_with_secret(webhook))


async def send_test(request: web.Request, given: Given) -> Reply:
    return Reply(
        await webhooks.send_test(
            request.app[WEBHOOKS], owner_of(request, given), given.path["webhook_id"]
        )
    )


async def list_deliveries(request: web.Request, given: Given) -> Reply:
    number, size = given.query["page"], given.query["page_size"]
    total, found = await webhooks.list_deliveries(
        request.app[WEBHOOKS],
        owner_of(request, given),
        given.path["webhook_id"],
        state=given.query["state"],
        offset=(number - 1) * size,
        limit=size,
    )
    return Reply({"count": total, **page_links(request, number, size, total), "results": found})


async def redeliver(request: web.Request, given: Given) -> Reply:
    return Reply(
        await webhooks.redeliver(
            request.app[WEBHOOKS], owner_of(request, given), given.path["delivery_id"]
        )
    )


async def redeliver_range(request: web.Request, given: Given) -> Reply:
    again = await webhooks.redeliver_range(
        request.app[WEBHOOKS],
        owner_of(request, given),
        given.path["webhook_id"],
        since=given.body["since"],
        until=given.body["until"],
        states=given.body["states"],
    )
    return Reply(again)


def _with_secret(webhook: Webhook) -> dict[str, Any]:
    return {**webhook._asdict(), "secret": shown_secret(webhook.secret)}
