"""The life of signing keys: published, then active, then retired, then gone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import structlog

from services.auth.audit.event import AuditEvent
from services.auth.audit.recording import record
from services.auth.domain import KeyLife
from services.auth.key_pairs import KeyPair, new_key_pair
from services.auth.key_places import sealing_key_place, signing_key_place
from services.auth.repository import AuthRepository, AuthStore
from services.auth.repository.keys import StoredSigningKey
from shared.clock import utc_now
from shared.sealing import CannotUnseal, SealingKeys

log = structlog.get_logger(__name__)

_AT_ONCE = timedelta(0)


@dataclass(frozen=True, slots=True)
class Resealed:
    """How many keys were looked at, encrypted again, and could not be read."""

    seen: int
    changed: int
    unreadable: int


async def list_keys(store: AuthStore) -> list[StoredSigningKey]:
    """Every signing key, the oldest first. Raises ServiceUnavailable."""
    async with store.read() as repository:
        return await repository.keys.signing()


async def advance(store: AuthStore, at_rest: SealingKeys, life: KeyLife) -> None:
    """Does what is due: drops the retired, promotes the next one, publishes another.

    Every replica calls this as often as it likes: they take turns, and what one has done is not
    due any more for the others. Raises ServiceUnavailable.
    """
    async with store.read() as repository:
        wanted = life.every is not None and await repository.keys.next_is_due(life.next_after)
    pair = await new_key_pair() if wanted else None
    async with store.begin() as repository:
        await repository.keys.take_turn()
        dropped = await repository.keys.drop_retired(life.keep)
        promoted = await repository.keys.promote(life.publish)
        # Another replica may have come first, so it is looked at again.
        due = pair is not None and await repository.keys.next_is_due(life.next_after)
        added = due and pair is not None and await _publish(repository, at_rest, pair)
        for kid in dropped:
            await _note(repository, AuditEvent.SIGNING_KEY_DROPPED, kid)
        if promoted is not None:
            await _note(repository, AuditEvent.SIGNING_KEY_ACTIVE, promoted)
    for kid in dropped:
        log.info("signing_key_dropped", kid=kid)
    if promoted is not None:
        log.info("signing_key_active", kid=promoted)
    if added and pair is not None:
        log.info("signing_key_published", kid=pair.kid)


async def rotate(store: AuthStore, at_rest: SealingKeys) -> str | None:
    """Publishes the next key, which signs once it has been known long enough; its id.

    None when one is published already. Raises ServiceUnavailable.
    """
    pair = await new_key_pair()
    async with store.begin() as repository:
        await repository.keys.take_turn()
        return pair.kid if await _publish(repository, at_rest, pair) else None


async def retire(store: AuthStore, at_rest: SealingKeys, kid: str) -> bool:
    """Withdraws a key at once, and with it every token that it signed; False for an unknown one.

    In the place of the active key the next one signs, or a new one: verifiers meet it a few
    seconds before they know it. Raises ServiceUnavailable.
    """
    pair = await new_key_pair()
    async with store.begin() as repository:
        await repository.keys.take_turn()
        state = await repository.keys.remove(kid)
        if state is not None:
            await _note(repository, AuditEvent.SIGNING_KEY_RETIRED, kid)
        if state == "active":
            promoted = await repository.keys.promote(_AT_ONCE)
            if promoted is None:
                private = at_rest.seal(pair.private, signing_key_place(pair.kid))
                await repository.keys.add_active(pair.kid, private, utc_now())
            await _note(repository, AuditEvent.SIGNING_KEY_ACTIVE, promoted or pair.kid)
    return state is not None


async def reseal(store: AuthStore, at_rest: SealingKeys) -> Resealed:
    """Encrypts with the present key what is plain or sealed with an older one.

    There are a handful of rows, so it is one transaction. What cannot be read stays as it is.
    Raises ServiceUnavailable.
    """
    async with store.begin() as repository:
        await repository.keys.take_turn()
        signing = {key.kid: key.private_key for key in await repository.keys.signing()}
        sealing = await repository.keys.sealing()
        changed = unreadable = 0
        for table, place_of, save in (
            (signing, signing_key_place, repository.keys.save_signing),
            (sealing, sealing_key_place, repository.keys.save_sealing),
        ):
            for row, stored in table.items():
                if at_rest.is_current(stored):
                    continue
                place = place_of(row)
                try:
                    plain = at_rest.unseal(stored, place)
                except CannotUnseal as error:
                    log.error("key_unreadable", reason=str(error))
                    unreadable += 1
                    continue
                await save(row, at_rest.seal(plain, place))
                changed += 1
        if changed:
            await record(
                repository, AuditEvent.KEYS_RESEALED, utc_now(), details={"count": changed}
            )
    return Resealed(len(signing) + len(sealing), changed, unreadable)


async def _publish(repository: AuthRepository, at_rest: SealingKeys, pair: KeyPair) -> bool:
    private = at_rest.seal(pair.private, signing_key_place(pair.kid))
    added = await repository.keys.add_next(pair.kid, private)
    if added:
        await _note(repository, AuditEvent.SIGNING_KEY_PUBLISHED, pair.kid)
    return added


async def _note(repository: AuthRepository, event: AuditEvent, kid: str) -> None:
    """Nobody is named: whoever runs commands beside the database, or the schedule, did it."""
    await record(repository, event, utc_now(), details={"kid": kid})
