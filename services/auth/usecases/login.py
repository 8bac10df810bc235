"""Login with address and password."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from uuid import UUID

from services.auth.audit.event import AuditEvent, Outcome
from services.auth.audit.recording import record, record_refusal
from services.auth.domain import AccountDisabled, SessionLife, User, WrongCredentials
from services.auth.events import AuthEvents
from services.auth.passwords.hashing import Passwords
from services.auth.repository import AuthRepository, AuthStore
from services.auth.tokens import Grant, Tokens
from services.auth.usecases.guard import Attempt, LoginGuard, Watched
from shared.errors import AccountLocked, ApiError, RateLimited, ServiceUnavailable

_REASONS: dict[type[ApiError], str] = {
    AccountLocked: "locked",
    RateLimited: "limited",
    AccountDisabled: "disabled",
    WrongCredentials: "wrong",
}


async def log_in(
    store: AuthStore,
    passwords: Passwords,
    tokens: Tokens,
    guard: LoginGuard,
    life: SessionLife,
    events: AuthEvents,
    *,
    attempt: Attempt,
    now: datetime,
) -> Grant:
    """Opens a session for the right password.

    Raises what `prove` and `let_in` raise.
    """
    user, watched = await prove(store, passwords, guard, attempt, now)
    async with noting_refusal(store, user, watched, now), store.begin() as repository:
        current = await let_in(repository, guard, events, user, watched)
        session = await repository.sessions.open(user.id, life, attempt.origin, now)
        # Inside, so that a session without tokens is never left behind.
        grant = tokens.grant(current, session, now)
        await record_login(repository, user.id, session.id, now)
    events.login("success", watched.subject, user_id=user.id)
    await keep_hash_current(store, passwords, user, attempt.password)
    return grant


async def prove(
    store: AuthStore, passwords: Passwords, guard: LoginGuard, attempt: Attempt, now: datetime
) -> tuple[User, Watched]:
    """The account whose password this is, once `let_in` has settled it.

    An address without an account is treated like one with, in work, answer and lock. Raises
    WrongCredentials, AccountLocked, RateLimited and ServiceUnavailable.
    """
    watched = guard.watch(attempt, now)
    # Before anything is waited for: who comes first is checked first, and who has to be turned
    # away costs the database nothing.
    with passwords.line_up() as place:
        async with store.read() as repository:
            refusal = await guard.refuse_early(repository, watched)
            # Asked for in any case: the owner of a locked account is to see who tried.
            user = await repository.users.by_email(attempt.email)
        if refusal is None:
            # No connection is held meanwhile: a check may wait for its turn.
            stored = user.password_hash if user else None
            right = await passwords.verify(attempt.password, stored, place)
    if refusal is not None:
        await _note(store, user, watched, refusal, now)
        raise refusal
    if user is None or not right:
        raise await _refuse(store, guard, user, watched, now)
    return user, watched


async def let_in(
    repository: AuthRepository,
    guard: LoginGuard,
    events: AuthEvents,
    user: User,
    watched: Watched,
) -> User:
    """Settles a right password, in the transaction that opens the session.

    The account stays as it is until that ends: a password change that comes later finds the
    session and ends it. Raises AccountLocked and RateLimited, WrongCredentials when the password
    was changed meanwhile, and AccountDisabled, to nobody who does not know the password.
    """
    await guard.settle_right(repository, watched)
    current = await repository.users.held(user.id)
    if current is None or current.password_hash != user.password_hash:
        raise WrongCredentials
    if not current.is_active:
        events.login("disabled", watched.subject, user_id=user.id)
        raise AccountDisabled
    return current


@asynccontextmanager
async def noting_refusal(
    store: AuthStore, user: User, watched: Watched, now: datetime
) -> AsyncIterator[None]:
    """Records a refusal that undoes the transaction in the block, and so stands alone."""
    try:
        yield
    except (AccountLocked, RateLimited, AccountDisabled, WrongCredentials) as refusal:
        await _note(store, user, watched, refusal, now)
        raise


async def record_login(
    repository: AuthRepository, user_id: UUID, session_id: UUID, now: datetime
) -> None:
    """Records a success, in the transaction that opened the session."""
    await record(
        repository,
        AuditEvent.LOGIN,
        now,
        user_id=user_id,
        actor_id=user_id,
        details={"session_id": str(session_id)},
    )


async def keep_hash_current(
    store: AuthStore, passwords: Passwords, user: User, password: str
) -> None:
    """Hashes again with the parameters of the day; when there is no room, the next login does."""
    if not passwords.is_outdated(user.password_hash):
        return
    try:
        renewed = await passwords.hash(password)
        async with store.read() as repository:
            await repository.users.upgrade_hash(user.id, user.password_hash, renewed)
    except ServiceUnavailable:
        return


async def _refuse(
    store: AuthStore, guard: LoginGuard, user: User | None, watched: Watched, now: datetime
) -> ApiError:
    """Counts the wrong guess, which commits together with its record; returns the refusal."""
    user_id = None if user is None else user.id
    async with store.begin() as repository:
        settled = await guard.settle_wrong(repository, watched)
        await record(
            repository,
            AuditEvent.LOGIN,
            now,
            outcome=Outcome.FAILURE,
            user_id=user_id,
            subject=watched.subject,
            details={"reason": _REASONS[type(settled.refusal)]},
        )
        if settled.locks_for is not None:
            await record(
                repository,
                AuditEvent.ADDRESS_LOCKED,
                now,
                user_id=user_id,
                subject=watched.subject,
                details={"seconds": settled.locks_for},
            )
    guard.tell(watched, settled)
    return settled.refusal


async def _note(
    store: AuthStore, user: User | None, watched: Watched, refusal: ApiError, now: datetime
) -> None:
    await record_refusal(
        store,
        AuditEvent.LOGIN,
        now,
        reason=_REASONS[type(refusal)],
        user_id=None if user is None else user.id,
        subject=watched.subject,
    )
