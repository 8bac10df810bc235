"""Webhooks: what owners do with them. The worker does the delivering."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog

from services.tasks.domain import DeliveryNotFound, TooManyWebhooks, WebhookNotFound
from services.tasks.repository.webhooks import Delivery, Webhook, WebhookRepository
from services.tasks.webhooks.message import TEST
from services.tasks.webhooks.secrets import WebhookSecret, place_of
from services.tasks.webhooks.signature import new_secret
from shared.clock import utc_now
from shared.database import Store
from shared.ids import uuid7
from shared.sealing import CannotUnseal, SealingKeys

log = structlog.get_logger(__name__)

MAX_WEBHOOKS = 20
# How long deliveries are signed with the old secret as well.
OVERLAP = timedelta(hours=24)

# Deliveries that one request makes again: so many are written in a fraction of a second.
MAX_AGAIN = 10_000

Webhooks = Store[WebhookRepository]


@dataclass(frozen=True, slots=True)
class Redelivered:
    """How many deliveries are made again; `next` is the `since` of those that are left, if any."""

    count: int
    next: datetime | None


async def create_webhook(
    webhooks: Webhooks, keys: SealingKeys, owner_id: UUID, fields: Mapping[str, Any]
) -> Webhook:
    """The webhook, its secret readable. Raises TooManyWebhooks."""
    now, webhook_id, secret = utc_now(), uuid7(), new_secret()
    webhook = Webhook(
        id=webhook_id,
        owner_id=owner_id,
        url=fields["url"],
        events=fields["events"],
        description=fields["description"],
        enabled=fields["enabled"],
        disabled_reason=None,
        failing_since=None,
        created_at=now,
        updated_at=now,
        secret=keys.seal(secret, place_of(webhook_id, WebhookSecret.PRESENT)),
        previous_secret=None,
        previous_secret_until=None,
    )
    async with webhooks.begin() as repository:
        await repository.hold_owner(owner_id)
        if len(await repository.of_owner(owner_id)) >= MAX_WEBHOOKS:
            raise TooManyWebhooks(MAX_WEBHOOKS)
        await repository.add(webhook)
    return webhook._replace(secret=secret)


async def list_webhooks(webhooks: Webhooks, owner_id: UUID) -> list[Webhook]:
    """All of the owner's, the newest first."""
    async with webhooks.read() as repository:
        return await repository.of_owner(owner_id)


async def get_webhook(webhooks: Webhooks, owner_id: UUID, webhook_id: UUID) -> Webhook:
    """Raises WebhookNotFound."""
    async with webhooks.read() as repository:
        return await _find(repository, owner_id, webhook_id)


async def change_webhook(
    webhooks: Webhooks, owner_id: UUID, webhook_id: UUID, fields: Mapping[str, Any]
) -> Webhook:
    """Sets `fields`. Enabling one again forgets why it was disabled. Raises WebhookNotFound."""
    async with webhooks.begin() as repository:
        before = await _find(repository, owner_id, webhook_id, lock=True)
        changes: dict[str, Any] = {**fields, "updated_at": utc_now()}
        if fields.get("enabled") and not before.enabled:
            changes |= {"disabled_reason": None, "failing_since": None}
        await repository.save(webhook_id, changes)
    return before._replace(**changes)


async def delete_webhook(webhooks: Webhooks, owner_id: UUID, webhook_id: UUID) -> None:
    """With its deliveries. Raises WebhookNotFound."""
    async with webhooks.read() as repository:
        if not await repository.delete(owner_id, webhook_id):
            raise WebhookNotFound


async def rotate_secret(
    webhooks: Webhooks, keys: SealingKeys, owner_id: UUID, webhook_id: UUID
) -> Webhook:
    """Signs with a new secret from now on, and with the old one too for a while.

    Returns the webhook, its secret readable. Raises WebhookNotFound.
    """
    secret = new_secret()
    async with webhooks.begin() as repository:
        before = await _find(repository, owner_id, webhook_id, lock=True)
        now = utc_now()
        changes: dict[str, Any] = {
            "secret": keys.seal(secret, place_of(webhook_id, WebhookSecret.PRESENT)),
            "previous_secret": _moved_back(keys, before),
            "previous_secret_until": now + OVERLAP,
            "updated_at": now,
        }
        await repository.save(webhook_id, changes)
    return before._replace(**changes)._replace(secret=secret)


async def send_test(webhooks: Webhooks, owner_id: UUID, webhook_id: UUID) -> Delivery:
    """Queues an event that tells of nothing. Raises WebhookNotFound."""
    async with webhooks.begin() as repository:
        webhook = await _find(repository, owner_id, webhook_id, lock=True)
        return await repository.add_test(webhook, uuid7(), TEST)


async def list_deliveries(
    webhooks: Webhooks,
    owner_id: UUID,
    webhook_id: UUID,
    *,
    state: str | None,
    offset: int,
    limit: int,
) -> tuple[int, list[Delivery]]:
    """How many there are, and some of them, the newest first. Raises WebhookNotFound."""
    async with webhooks.read() as repository:
        await _find(repository, owner_id, webhook_id)
        return await repository.deliveries(webhook_id, state, offset, limit)


async def redeliver(webhooks: Webhooks, owner_id: UUID, delivery_id: UUID) -> Delivery:
    """Delivers once more, whatever came of it before. Raises DeliveryNotFound."""
    async with webhooks.read() as repository:
        delivery = await repository.redeliver(owner_id, delivery_id)
    if delivery is None:
        raise DeliveryNotFound
    return delivery


async def redeliver_range(
    webhooks: Webhooks,
    owner_id: UUID,
    webhook_id: UUID,
    *,
    since: datetime,
    until: datetime | None,
    states: list[str],
) -> Redelivered:
    """The same for what was made in that time, the oldest first. Raises WebhookNotFound."""
    async with webhooks.read() as repository:
        await _find(repository, owner_id, webhook_id)
        count, last = await repository.redeliver_range(
            webhook_id, since, until or utc_now(), states, MAX_AGAIN
        )
    return Redelivered(count, last if count == MAX_AGAIN else None)


def _moved_back(keys: SealingKeys, webhook: Webhook) -> bytes | None:
    """The present secret, sealed for the column of the previous one.

    None when it cannot be read: then a rotation is the way out, so it must not fail.
    """
    try:
        secret = keys.unseal(webhook.secret, place_of(webhook.id, WebhookSecret.PRESENT))
    except CannotUnseal as error:
        log.error("webhook_secret_unreadable", reason=str(error))
        return None
    return keys.seal(secret, place_of(webhook.id, WebhookSecret.PREVIOUS))


async def _find(
    repository: WebhookRepository, owner_id: UUID, webhook_id: UUID, *, lock: bool = False
) -> Webhook:
    webhook = await repository.find(owner_id, webhook_id, lock=lock)
    if webhook is None:
        raise WebhookNotFound
    return webhook
