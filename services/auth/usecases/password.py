"""Change of one's own password."""

from __future__ import annotations

from datetime import datetime
from typing import NoReturn
from uuid import UUID

from services.auth.audit.event import AuditEvent, Outcome
from services.auth.audit.recording import record, record_refusal
from services.auth.domain import Ending, Origin, SessionLife, User, WrongCurrentPassword
from services.auth.events import AuthEvents
from services.auth.passwords.hashing import Passwords
from services.auth.passwords.strength import weakness
from services.auth.repository import AuthStore
from services.auth.tokens import Tokens
from services.auth.usecases.cookie_sessions import CookieGrant, open_session
from services.auth.usecases.lockout import Guess, Lockout
from services.auth.usecases.sessions import live_user
from shared.errors import RateLimited, ValidationFailed


async def change_password(
    store: AuthStore,
    passwords: Passwords,
    lockout: Lockout,
    events: AuthEvents,
    tokens: Tokens,
    cookie_life: SessionLife,
    *,
    session_id: UUID,
    current_password: str,
    new_password: str,
    origin: Origin,
    now: datetime,
) -> CookieGrant | None:
    """Sets another password and ends the account's other sessions.

    A browser's session is replaced by another one, which is returned: whoever knew the old cookie
    knows nothing any longer (ASVS 7.2.4).

    Wrong guesses have a budget of their own, so a stolen access token neither finds the password
    nor locks its owner out. Raises ValidationFailed for a weak password, WrongCurrentPassword,
    RateLimited, InvalidToken and ServiceUnavailable.
    """
    async with store.read() as repository:
        user = await live_user(repository, session_id, now)
        subject = lockout.subject(Guess.CURRENT_PASSWORD, str(user.id))
        limited_for = await lockout.seconds_left(repository, subject)
    reason = weakness(new_password, owner=(user.name, user.email))
    if reason is not None:
        events.password_change("refused", user_id=user.id)
        raise ValidationFailed(details={"new_password": [reason]})
    if limited_for is not None:
        events.password_change("limited", user_id=user.id)
        await record_refusal(
            store, AuditEvent.PASSWORD_CHANGED, now, reason="limited", user_id=user.id
        )
        raise RateLimited(limited_for)
    if not await passwords.verify(current_password, user.password_hash):
        await _refuse(store, lockout, events, user, subject, now)
    new_hash = await passwords.hash(new_password)
    try:
        grant = await _replace(
            store, lockout, tokens, cookie_life, user, subject, session_id, new_hash, origin, now
        )
    except (RateLimited, WrongCurrentPassword):
        await record_refusal(
            store, AuditEvent.PASSWORD_CHANGED, now, reason="overtaken", user_id=user.id
        )
        raise
    events.password_change("changed", user_id=user.id)
    return grant


async def _replace(
    store: AuthStore,
    lockout: Lockout,
    tokens: Tokens,
    cookie_life: SessionLife,
    user: User,
    subject: bytes,
    session_id: UUID,
    new_hash: str,
    origin: Origin,
    now: datetime,
) -> CookieGrant | None:
    async with store.begin() as repository:
        limited_for = await lockout.settle_right(repository, subject)
        if limited_for is not None:
            raise RateLimited(limited_for)
        changed = await repository.users.replace_password(
            user.id, user.password_hash, new_hash, now
        )
        if not changed:
            # Somebody else was quicker, so what was given is no longer the current password.
            raise WrongCurrentPassword(details={"current_password": ["Is wrong."]})
        by_cookie = await repository.cookie_sessions.alive(session_id, now) is not None
        ended = await repository.sessions.end_all(
            user.id, Ending.PASSWORD_CHANGE, now, except_for=None if by_cookie else session_id
        )
        await record(
            repository,
            AuditEvent.PASSWORD_CHANGED,
            now,
            user_id=user.id,
            actor_id=user.id,
            details={"sessions_ended": len(ended)},
        )
        grant = None
        if by_cookie:
            grant = await open_session(repository, tokens, cookie_life, user, origin, now)
        await repository.revocations.end_sessions(ended)
        return grant


async def _refuse(
    store: AuthStore,
    lockout: Lockout,
    events: AuthEvents,
    user: User,
    subject: bytes,
    now: datetime,
) -> NoReturn:
    """Counts the wrong guess, which commits, and raises."""
    async with store.begin() as repository:
        counted = await lockout.settle_wrong(repository, subject)
        await record(
            repository,
            AuditEvent.PASSWORD_CHANGED,
            now,
            outcome=Outcome.FAILURE,
            user_id=user.id,
            actor_id=user.id,
            details={"reason": "wrong" if counted.refused_for is None else "limited"},
        )
    if counted.refused_for is not None:
        events.password_change("limited", user_id=user.id)
        raise RateLimited(counted.refused_for)
    events.password_change("wrong", user_id=user.id)
    raise WrongCurrentPassword(details={"current_password": ["Is wrong."]})
