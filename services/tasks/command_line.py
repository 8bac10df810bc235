"""Commands that a person runs beside the service."""

from __future__ import annotations

import asyncio
import sys

from prometheus_client import CollectorRegistry

from services.tasks.repository.webhooks import WebhookRepository
from services.tasks.revisions import MIGRATE_COMMAND, MIGRATIONS
from services.tasks.settings import SecretsSettings
from services.tasks.usecases.secrets import Resealed, reseal
from shared.database import Database, Store
from shared.errors import ApiError
from shared.process import StartRefused, refuse
from shared.revisions import head

_NAME = "tasks secrets"


def re_encrypt(settings: SecretsSettings) -> None:
    """Encrypts every stored secret with the first key; exits with 1 when some cannot be read."""
    if not settings.encryption_keys:
        refuse(_NAME, "ENCRYPTION_KEYS: Must be set.")
    try:
        done = asyncio.run(_reseal(settings))
    except StartRefused as error:
        refuse(_NAME, str(error))
    except ApiError as error:
        sys.stderr.write(f"stopped, run it again: {error.text}\n")
        sys.exit(1)
    print(f"webhooks {done.seen}, encrypted again {done.changed}, unreadable {done.unreadable}")
    if done.unreadable:
        sys.exit(1)


async def _reseal(settings: SecretsSettings) -> Resealed:
    database = Database(
        settings.database_url, CollectorRegistry(), application="tasks-secrets", max_size=1
    )
    await database.open()
    try:
        await database.require_revision(head(MIGRATIONS), MIGRATE_COMMAND)
        return await reseal(Store(database, WebhookRepository), settings.sealing_keys)
    finally:
        await database.close()
