"""Encrypting what is stored again, after the keys have changed."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import structlog

from services.tasks.repository.webhooks import StoredSecrets, WebhookRepository
from services.tasks.webhooks.secrets import WebhookSecret, place_of
from shared.database import Store
from shared.sealing import CannotUnseal, SealingKeys

log = structlog.get_logger(__name__)

RESEAL_BATCH = 200
_BEFORE_ALL = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Resealed:
    """How many webhooks were looked at, encrypted again, and could not be read."""

    seen: int
    changed: int
    unreadable: int


async def reseal(
    webhooks: Store[WebhookRepository], keys: SealingKeys, batch: int = RESEAL_BATCH
) -> Resealed:
    """Encrypts with the present key what is plain or sealed with an older one.

    Each batch is a transaction of its own: stopped half-way, the next run does the rest. What
    cannot be read stays as it is. Raises ServiceUnavailable.
    """
    seen = changed = unreadable = 0
    last = _BEFORE_ALL
    while True:
        async with webhooks.begin() as repository:
            rows = await repository.secrets_after(last, batch)
            stale = [row for row in rows if not _is_current(keys, row)]
            renewed = [row for row in (_renewed(keys, row) for row in stale) if row is not None]
            if renewed:
                await repository.save_secrets(renewed)
        seen += len(rows)
        changed += len(renewed)
        unreadable += len(stale) - len(renewed)
        if len(rows) < batch:
            return Resealed(seen, changed, unreadable)
        last = rows[-1].id


def _is_current(keys: SealingKeys, row: StoredSecrets) -> bool:
    return keys.is_current(row.secret) and (
        row.previous_secret is None or keys.is_current(row.previous_secret)
    )


def _renewed(keys: SealingKeys, row: StoredSecrets) -> StoredSecrets | None:
    present = place_of(row.id, WebhookSecret.PRESENT)
    previous = place_of(row.id, WebhookSecret.PREVIOUS)
    try:
        secret = keys.seal(keys.unseal(row.secret, present), present)
        if row.previous_secret is None:
            return StoredSecrets(row.id, secret, None)
        older = keys.seal(keys.unseal(row.previous_secret, previous), previous)
        return StoredSecrets(row.id, secret, older)
    except CannotUnseal as error:
        log.error("webhook_secret_unreadable", reason=str(error))
        return None
