"""The schedule of the signing keys, which every replica keeps."""

from __future__ import annotations

import asyncio

import structlog

from services.auth.domain import KeyLife
from services.auth.keys import KeyRing
from services.auth.repository import AuthStore
from services.auth.usecases.signing_keys import advance
from shared.errors import ServiceUnavailable
from shared.sealing import SealingKeys

log = structlog.get_logger(__name__)

LOOK_SECONDS = 5.0


async def keep_rotating(
    store: AuthStore, keys: KeyRing, at_rest: SealingKeys, life: KeyLife
) -> None:
    """Does what is due, for ever; a database that is away is asked again at the next look."""
    while True:
        try:
            await advance(store, at_rest, life)
        except ServiceUnavailable:
            log.warning("key_rotation_put_off")
        else:
            # What this or another replica has done is taken over here at once.
            await keys.published.refresh()
        await asyncio.sleep(LOOK_SECONDS)
