"""Login with address and password."""

from __future__ import annotations

from datetime import datetime
from typing import NoReturn

from services.auth.audit.event import AuditEvent, Outcome
from services.auth.audit.recording import record, record_refusal
from services.auth.domain import AccountDisabled, Origin, SessionLife, User, WrongCredentials
from services.auth.events import AuthEvents
from services.auth.passwords.hashing import Passwords
from services.auth.repository import AuthRepository, AuthStore
from services.auth.tokens import Grant, Tokens
from services.auth.usecases.lockout import Guess, Lockout
from shared.errors import AccountLocked, ApiError, ServiceUnavailable

_REASONS: dict[type[ApiError], str] = {
    AccountLocked: "locked",
    AccountDisabled: "disabled",
    WrongCredentials: "wrong",
}


async def log_in(
    store: AuthStore,
    passwords: Passwords,
    tokens: Tokens,
    lockout: Lockout,
    life: SessionLife,
    events: AuthEvents,
    *,
    email: str,
    password: str,
    origin: Origin,
    now: datetime,
) -> Grant:
    """Opens a session for the right password.

    An address without an account is treated like one with, in work, answer and lock. Raises
    WrongCredentials, AccountLocked, AccountDisabled (to nobody who does not know the password)
    and ServiceUnavailable.
    """
    subject = lockout.subject(Guess.LOGIN, email)
    async with store.read() as repository:
        locked_for = await lockout.seconds_left(repository, subject, now)
        # Asked for while it is locked as well: its owner is to see who tried.
        user = await repository.users.by_email(email)
    if locked_for is not None:
        await _note(store, user, subject, "locked", now)
        events.login("locked", subject)
        raise AccountLocked(locked_for)
    # No connection is held meanwhile: a check may wait for its turn.
    right = await passwords.verify(password, user.password_hash if user else None)
    if user is None or not right:
        await _refuse(store, lockout, events, user, subject, now)
    try:
        grant = await _open(store, tokens, lockout, life, events, user, subject, origin, now)
    except (AccountLocked, AccountDisabled, WrongCredentials) as refusal:
        # It came to nothing, so its record stands alone.
        await _note(store, user, subject, _REASONS[type(refusal)], now)
        raise
    await _keep_hash_current(store, passwords, user, password)
    return grant


async def _refuse(
    store: AuthStore,
    lockout: Lockout,
    events: AuthEvents,
    user: User | None,
    subject: bytes,
    now: datetime,
) -> NoReturn:
    """Counts the wrong guess, which commits together with its record, and raises."""
    user_id = None if user is None else user.id
    async with store.begin() as repository:
        counted = await lockout.settle_wrong(repository, subject, now)
        reason = "wrong" if counted.refused_for is None else "locked"
        await record(
            repository,
            AuditEvent.LOGIN,
            now,
            outcome=Outcome.FAILURE,
            user_id=user_id,
            subject=subject,
            details={"reason": reason},
        )
        if counted.locks_for is not None:
            await record(
                repository,
                AuditEvent.ADDRESS_LOCKED,
                now,
                user_id=user_id,
                subject=subject,
                details={"seconds": counted.locks_for},
            )
    if counted.refused_for is not None:
        events.login("locked", subject)
        raise AccountLocked(counted.refused_for)
    if counted.locks_for is not None:
        events.locked(subject, seconds=counted.locks_for)
    events.login("wrong", subject)
    raise WrongCredentials


async def _open(
    store: AuthStore,
    tokens: Tokens,
    lockout: Lockout,
    life: SessionLife,
    events: AuthEvents,
    user: User,
    subject: bytes,
    origin: Origin,
    now: datetime,
) -> Grant:
    async with store.begin() as repository:
        locked_for = await lockout.settle_right(repository, subject, now)
        if locked_for is not None:
            events.login("locked", subject)
            raise AccountLocked(locked_for)
        current = await _unchanged(repository, user)
        if not current.is_active:
            events.login("disabled", subject, user_id=user.id)
            raise AccountDisabled
        session = await repository.sessions.open(user.id, life, origin, now)
        # Inside, so that a session without tokens is never left behind.
        grant = tokens.grant(current, session, now)
        await record(
            repository,
            AuditEvent.LOGIN,
            now,
            user_id=user.id,
            actor_id=user.id,
            details={"session_id": str(session.id)},
        )
    events.login("success", subject, user_id=user.id)
    return grant


async def _note(
    store: AuthStore, user: User | None, subject: bytes, reason: str, now: datetime
) -> None:
    await record_refusal(
        store,
        AuditEvent.LOGIN,
        now,
        reason=reason,
        user_id=None if user is None else user.id,
        subject=subject,
    )


async def _unchanged(repository: AuthRepository, user: User) -> User:
    """The account, if the password that was proved is still its password.

    It stays so until the transaction ends: a password change that comes later finds the session
    and ends it.
    """
    current = await repository.users.held(user.id)
    if current is None or current.password_hash != user.password_hash:
        raise WrongCredentials
    return current


async def _keep_hash_current(
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
