"""API keys: made, listed, rotated and revoked by their owner; exchanged for a token by gateways."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from services.auth.audit.event import AuditEvent, Outcome
from services.auth.audit.recording import Detail, Sampled, record
from services.auth.domain import ApiKey, ExpiryInThePast, MadeApiKey, TooManyApiKeys
from services.auth.events import AuthEvents
from services.auth.repository import AuthRepository, AuthStore
from services.auth.tokens import AccessToken, Tokens
from services.auth.usecases.sessions import live_user
from shared.api_keys import api_key_hash, is_api_key, new_api_key
from shared.errors import Forbidden, NotFound
from shared.identity import PERMISSIONS, Permission

MOST_KEYS = 50
USE_NOTED_EVERY = timedelta(minutes=1)


async def make_api_key(
    store: AuthStore,
    events: AuthEvents,
    *,
    session_id: UUID,
    name: str,
    scopes: Sequence[str],
    expires_at: datetime | None,
    now: datetime,
) -> MadeApiKey:
    """A key for the caller, shown this once; without `scopes` it may do all that he may.

    Raises Forbidden for a scope that he has not, ExpiryInThePast, TooManyApiKeys, InvalidToken.
    """
    if expires_at is not None and expires_at <= now:
        raise ExpiryInThePast(details={"expires_at": ["Must be in the future."]})
    async with store.begin() as repository:
        user = await live_user(repository, session_id, now)
        beyond = [one for one in scopes if Permission(one) not in PERMISSIONS[user.role]]
        if beyond:
            raise Forbidden(details={"scopes": [f"You have no right to {', '.join(beyond)}."]})
        # The account is held, so that two at once do not get past the limit together.
        await repository.users.locked(user.id)
        made = await _add(repository, user.id, name, scopes, expires_at, now)
        await _note(repository, AuditEvent.API_KEY_MADE, user.id, made.id, now, name=name)
    events.api_key("made", user_id=user.id, key_id=made.id)
    return made


async def list_api_keys(store: AuthStore, *, session_id: UUID, now: datetime) -> list[ApiKey]:
    """The caller's good keys. Raises InvalidToken."""
    async with store.read() as repository:
        user = await live_user(repository, session_id, now)
        return await repository.api_keys.of_user(user.id, now, MOST_KEYS)


async def rotate_api_key(
    store: AuthStore,
    events: AuthEvents,
    *,
    session_id: UUID,
    key_id: UUID,
    overlap: timedelta,
    now: datetime,
) -> MadeApiKey:
    """Another key with the same rights; the present one stays good for `overlap`.

    Raises NotFound, TooManyApiKeys and InvalidToken.
    """
    async with store.begin() as repository:
        user = await live_user(repository, session_id, now)
        await repository.users.locked(user.id)
        old = await repository.api_keys.locked(user.id, key_id, now)
        if old is None:
            raise NotFound
        made = await _add(repository, user.id, old.name, old.scopes, old.expires_at, now)
        await _note(repository, AuditEvent.API_KEY_ROTATED, user.id, old.id, now, by=str(made.id))
        if overlap:
            await repository.api_keys.expire(old.id, now + overlap)
        else:
            await repository.api_keys.remove(old.id)
            await repository.revocations.end_sessions([old.id])
    events.api_key("rotated", user_id=user.id, key_id=old.id)
    return made


async def revoke_api_key(
    store: AuthStore, events: AuthEvents, *, session_id: UUID, key_id: UUID, now: datetime
) -> None:
    """Ends a key of the caller's at once. Raises NotFound and InvalidToken."""
    async with store.begin() as repository:
        user = await live_user(repository, session_id, now)
        if await repository.api_keys.locked(user.id, key_id, now) is None:
            raise NotFound
        await repository.api_keys.remove(key_id)
        await _note(repository, AuditEvent.API_KEY_REVOKED, user.id, key_id, now)
        await repository.revocations.end_sessions([key_id])
    events.api_key("revoked", user_id=user.id, key_id=key_id)


async def exchange_api_key(
    store: AuthStore,
    tokens: Tokens,
    events: AuthEvents,
    refusals: Sampled,
    *,
    api_key: str,
    now: datetime,
) -> AccessToken:
    """A short access token with the rights of the key.

    Keys that are refused are many alike: one a second is recorded, with their number. Raises
    NotFound and ServiceUnavailable.
    """
    if not is_api_key(api_key):
        raise NotFound("No such credential")
    async with store.begin() as repository:
        key = await repository.api_keys.by_hash(api_key_hash(api_key), now)
        user = await repository.api_keys.owner(key.id, now) if key is not None else None
        if key is not None and user is not None:
            noted = await repository.api_keys.touch(key.id, now, USE_NOTED_EVERY)
            if noted and key.last_used_at is None:
                await _note(repository, AuditEvent.API_KEY_FIRST_USED, user.id, key.id, now)
        elif (count := refusals.take(now)) is not None:
            await record(
                repository,
                AuditEvent.API_KEY_REFUSED,
                now,
                outcome=Outcome.FAILURE,
                user_id=None if key is None else key.user_id,
                details={"count": count},
            )
    if key is None or user is None:
        events.api_key("refused")
        raise NotFound("No such credential")
    return tokens.for_api_key(user, key, now)


async def _note(
    repository: AuthRepository,
    event: AuditEvent,
    user_id: UUID,
    key_id: UUID,
    now: datetime,
    **details: Detail,
) -> None:
    await record(
        repository,
        event,
        now,
        user_id=user_id,
        actor_id=user_id,
        details={"key_id": str(key_id), **details},
    )


async def _add(
    repository: AuthRepository,
    user_id: UUID,
    name: str,
    scopes: Sequence[str],
    expires_at: datetime | None,
    now: datetime,
) -> MadeApiKey:
    if await repository.api_keys.count(user_id, now) >= MOST_KEYS:
        raise TooManyApiKeys(details={"api_keys": [f"At most {MOST_KEYS} at a time."]})
    key = new_api_key()
    stored = await repository.api_keys.add(
        user_id,
        name=name,
        key_hash=api_key_hash(key),
        last_four=key[-4:],
        scopes=scopes,
        expires_at=expires_at,
        now=now,
    )
    return MadeApiKey.of(stored, key)
