"""The life of a session after the login: refresh and logout."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from services.auth.audit.event import AuditEvent, Outcome
from services.auth.audit.recording import record
from services.auth.domain import (
    BadRefreshToken,
    Ending,
    NeedsLogin,
    OpenSession,
    Session,
    SessionLife,
    User,
)
from services.auth.events import AuthEvents
from services.auth.repository import AuthRepository, AuthStore
from services.auth.tokens import Grant, RefreshToken, Tokens
from shared.errors import InvalidToken, NotFound

MOST_SHOWN = 200


async def refresh(
    store: AuthStore,
    tokens: Tokens,
    life: SessionLife,
    events: AuthEvents,
    *,
    refresh_token: str,
    now: datetime,
) -> Grant:
    """Exchanges the newest refresh token of a session for the next pair.

    The token before it gets the current pair, because the answer that carried that may have been
    lost on its way. Any older one has been stolen or copied: the session ends. Raises
    BadRefreshToken and ServiceUnavailable.
    """
    token = tokens.read_refresh(refresh_token)
    if token is None:
        events.refresh("invalid")
        raise BadRefreshToken
    async with store.begin() as repository:
        # None is returned rather than raised, so that the end of a session commits.
        kept = await _use(repository, life, events, token, now)
        grant = tokens.grant(kept[1], kept[0], now) if kept is not None else None
    if grant is None:
        raise BadRefreshToken
    return grant


async def _use(
    repository: AuthRepository,
    life: SessionLife,
    events: AuthEvents,
    token: RefreshToken,
    now: datetime,
) -> tuple[Session, User] | None:
    """The session after the use of `token`, with its owner; None when it gives no right."""
    found = await repository.sessions.locked(token.session_id, now)
    if found is None or not found[2]:
        events.refresh("invalid", session_id=token.session_id)
        owner = None if found is None else found[1].id
        await _note(repository, AuditEvent.REFRESH_REFUSED, owner, token, "ended", now)
        return None
    session, user, _ = found
    if not user.is_active:
        await repository.sessions.end(session.id, Ending.ACCOUNT_DISABLED, now)
        await _note(repository, AuditEvent.REFRESH_REFUSED, user.id, token, "disabled", now)
        await repository.revocations.end_sessions([session.id])
        events.refresh("invalid", user_id=user.id, session_id=session.id)
        return None
    behind = session.refresh_counter - token.counter
    if behind == 0:
        events.refresh("rotated", user_id=user.id, session_id=session.id)
        return await repository.sessions.rotate(session, life, now), user
    if behind == 1:
        events.refresh("repeated", user_id=user.id, session_id=session.id)
        return session, user
    # A token of the future is one of a database that was set back; it is no better.
    await repository.sessions.end(session.id, Ending.REFRESH_REUSE, now)
    await _note(repository, AuditEvent.REFRESH_REUSED, user.id, token, "reused", now)
    await repository.revocations.end_sessions([session.id])
    events.refresh("reused", user_id=user.id, session_id=session.id)
    return None


async def _note(
    repository: AuthRepository,
    event: AuditEvent,
    user_id: UUID | None,
    token: RefreshToken,
    reason: str,
    now: datetime,
) -> None:
    await record(
        repository,
        event,
        now,
        outcome=Outcome.FAILURE,
        user_id=user_id,
        details={"session_id": str(token.session_id), "reason": reason},
    )


async def log_out(
    store: AuthStore,
    events: AuthEvents,
    *,
    session_id: UUID,
    everywhere: bool,
    now: datetime,
) -> None:
    """Ends the caller's session, or all of his. Raises InvalidToken when it has ended already."""
    async with store.begin() as repository:
        user = await live_user(repository, session_id, now)
        await record(
            repository,
            AuditEvent.LOGOUT,
            now,
            user_id=user.id,
            actor_id=user.id,
            details={"session_id": str(session_id), "everywhere": everywhere},
        )
        if everywhere:
            # First, so that a login under way is waited for and its session found below.
            epoch = await repository.users.begin_epoch(user.id, now)
            await repository.sessions.end_all(user.id, Ending.LOGOUT, now)
            await repository.revocations.void_tokens(user.id, epoch)
        else:
            await repository.sessions.end(session_id, Ending.LOGOUT, now)
            await repository.revocations.end_sessions([session_id])
    events.logout(user_id=user.id, everywhere=everywhere)


async def list_sessions(store: AuthStore, *, session_id: UUID, now: datetime) -> list[OpenSession]:
    """The caller's sessions, at most MOST_SHOWN, the one used last first. Raises InvalidToken."""
    async with store.read() as repository:
        user = await live_user(repository, session_id, now)
        return await repository.sessions.alive_of(user.id, session_id, now, MOST_SHOWN)


async def end_session(
    store: AuthStore, events: AuthEvents, *, session_id: UUID, doomed: UUID, now: datetime
) -> None:
    """Ends one session of the caller's. Raises NotFound and InvalidToken."""
    async with store.begin() as repository:
        user = await live_user(repository, session_id, now)
        ended = await repository.sessions.end_own(user.id, doomed, Ending.ENDED_BY_OWNER, now)
        if not ended:
            raise NotFound
        await record(
            repository,
            AuditEvent.SESSION_ENDED,
            now,
            user_id=user.id,
            actor_id=user.id,
            details={"session_id": str(doomed)},
        )
        await repository.revocations.end_sessions([doomed])
    events.logout(user_id=user.id, everywhere=False)


async def live_user(
    repository: AuthRepository, session_id: UUID, now: datetime, *, keys_too: bool = False
) -> User:
    """The owner of a session that is alive, or, if wanted, of an API key.

    An access token outlives its session by minutes; here, beside the table, it need not. Raises
    InvalidToken, and NeedsLogin for an API key where it does not do.
    """
    user = await repository.users.of_live_session(session_id, now)
    if user is not None:
        return user
    owner = await repository.api_keys.owner(session_id, now)
    if owner is None:
        raise InvalidToken
    if not keys_too:
        raise NeedsLogin
    return owner
