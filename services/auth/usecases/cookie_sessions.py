"""Sessions of browsers: a cookie stands for them, and the gateway turns it into a short token."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from services.auth.audit.event import AuditEvent
from services.auth.audit.recording import record
from services.auth.domain import (
    Ending,
    NeedsCookieSession,
    Origin,
    SessionLife,
    SessionOwner,
    User,
)
from services.auth.events import AuthEvents
from services.auth.passwords.hashing import Passwords
from services.auth.repository import AuthRepository, AuthStore
from services.auth.tokens import AccessToken, Tokens
from services.auth.usecases.guard import Attempt, LoginGuard
from services.auth.usecases.login import (
    keep_hash_current,
    let_in,
    noting_refusal,
    prove,
    record_login,
)
from services.auth.usecases.sessions import live_user
from shared.cookies import SESSION_SECRET
from shared.csrf import new_csrf_token
from shared.errors import NotFound
from shared.secret_forms import secret_hash

# A gateway asks again after this part of the idle time at the latest, and each time notes the use.
_PARTS_OF_IDLE = 30
_LONGEST_TOKEN = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class CookieGrant:
    """What a browser gets. `secret` goes into its cookie and nowhere else."""

    user: User
    session_id: UUID
    secret: str
    csrf_token: str
    session_expires_at: datetime
    idle_expires_at: datetime


async def log_in_by_cookie(
    store: AuthStore,
    passwords: Passwords,
    tokens: Tokens,
    guard: LoginGuard,
    life: SessionLife,
    events: AuthEvents,
    *,
    attempt: Attempt,
    replaces: UUID | None,
    now: datetime,
) -> CookieGrant:
    """Opens a session for the right password, and ends the one that the browser had before.

    Raises what a login raises.
    """
    user, watched = await prove(store, passwords, guard, attempt, now)
    async with noting_refusal(store, user, watched, now), store.begin() as repository:
        current = await let_in(repository, guard, events, user, watched)
        grant = await open_session(repository, tokens, life, current, attempt.origin, now)
        await record_login(repository, user.id, grant.session_id, now)
        await _end_replaced(repository, replaces, now)
    events.login("success", watched.subject, user_id=user.id)
    await keep_hash_current(store, passwords, user, attempt.password)
    return grant


async def _end_replaced(repository: AuthRepository, session_id: UUID | None, now: datetime) -> None:
    """Ends the session that the browser had before; it may be that of another account."""
    if session_id is None:
        return
    before = await repository.cookie_sessions.alive(session_id, now)
    if before is None:
        return
    await repository.sessions.end(before.id, Ending.REPLACED, now)
    await record(
        repository,
        AuditEvent.SESSION_ENDED,
        now,
        user_id=before.user_id,
        details={"session_id": str(before.id), "reason": Ending.REPLACED.value},
    )
    await repository.revocations.end_sessions([before.id])


async def open_session(
    repository: AuthRepository,
    tokens: Tokens,
    life: SessionLife,
    user: User,
    origin: Origin,
    now: datetime,
) -> CookieGrant:
    """A session with a secret of its own, within the caller's transaction."""
    secret = SESSION_SECRET.new()
    session = await repository.cookie_sessions.open(user.id, secret_hash(secret), life, origin, now)
    return CookieGrant(
        user=user,
        session_id=session.id,
        secret=secret,
        csrf_token=new_csrf_token(tokens.csrf_key(session.id).encode()),
        session_expires_at=session.expires_at,
        idle_expires_at=session.idle_expires_at,
    )


async def exchange_session(
    store: AuthStore, tokens: Tokens, life: SessionLife, *, secret: str, now: datetime
) -> AccessToken:
    """A short access token for the secret of a cookie, which counts as a use of the session.

    The token is so short that a session in use is noted in time; in between, uses cost nothing.
    Raises NotFound and ServiceUnavailable.
    """
    seconds = max(1, int(min(_LONGEST_TOKEN, life.idle / _PARTS_OF_IDLE).total_seconds()))
    # A little less than the life of a token, so that each one in its turn is noted.
    noted_every = min(_LONGEST_TOKEN, life.idle / _PARTS_OF_IDLE) * 0.9
    found = None
    if SESSION_SECRET.fits(secret):
        async with store.read() as repository:
            found = await repository.cookie_sessions.by_cookie(secret_hash(secret), now)
            if found is not None:
                touched = await repository.cookie_sessions.touch(found[0], life, now, noted_every)
    if found is None:
        raise NotFound("No such credential")
    return tokens.for_session(found[1], touched, now, seconds)


async def read_own_session(store: AuthStore, *, session_id: UUID, now: datetime) -> SessionOwner:
    """The caller's account with his cookie session.

    Raises InvalidToken, NeedsLogin for an API key and NeedsCookieSession for any other session.
    """
    async with store.read() as repository:
        user = await live_user(repository, session_id, now)
        session = await repository.cookie_sessions.alive(session_id, now)
    if session is None:
        raise NeedsCookieSession
    return SessionOwner.of(user, session)
