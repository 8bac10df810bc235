"""Registration."""

from __future__ import annotations

from datetime import datetime

from services.auth.audit.event import AuditEvent, Outcome
from services.auth.audit.recording import record
from services.auth.domain import EmailTaken, NewUser, Origin, SessionLife, User
from services.auth.events import AuthEvents
from services.auth.passwords.hashing import Passwords
from services.auth.passwords.strength import weakness
from services.auth.repository import AuthRepository, AuthStore
from services.auth.tokens import Grant, Tokens
from shared.errors import ValidationFailed


async def register(
    store: AuthStore,
    passwords: Passwords,
    tokens: Tokens,
    life: SessionLife,
    events: AuthEvents,
    *,
    name: str,
    email: str,
    password: str,
    origin: Origin,
    now: datetime,
) -> Grant:
    """Makes an account with the role `user` and logs it in.

    `email` is a normal address. Raises EmailTaken, ValidationFailed for a weak password, and
    ServiceUnavailable.
    """
    new = await _new_user(passwords, events, name=name, email=email, password=password)
    async with store.begin() as repository:
        user = await _add(repository, new, now)
        if user is not None:
            session = await repository.sessions.open(user.id, life, origin, now)
    if user is None:
        events.registration("taken")
        raise EmailTaken(details={"email": ["Is already registered."]})
    events.registration("created", user_id=user.id)
    return tokens.grant(user, session, now)


async def register_silently(
    store: AuthStore,
    passwords: Passwords,
    events: AuthEvents,
    *,
    name: str,
    email: str,
    password: str,
    now: datetime,
) -> None:
    """As `register`, but neither the outcome nor the work tells whether the address was taken."""
    new = await _new_user(passwords, events, name=name, email=email, password=password)
    async with store.begin() as repository:
        user = await _add(repository, new, now)
    if user is None:
        events.registration("taken")
    else:
        events.registration("created", user_id=user.id)


async def _add(repository: AuthRepository, new: NewUser, now: datetime) -> User | None:
    """The account; None when the address is taken, which whoever has it finds in his log."""
    user = await repository.users.add(new, now)
    # Looked up in both cases, so that both are the same work.
    known = await repository.users.by_email(new.email)
    await record(
        repository,
        AuditEvent.REGISTERED,
        now,
        outcome=Outcome.FAILURE if user is None else Outcome.SUCCESS,
        user_id=None if known is None else known.id,
        actor_id=None if user is None else user.id,
    )
    return user


async def _new_user(
    passwords: Passwords, events: AuthEvents, *, name: str, email: str, password: str
) -> NewUser:
    reason = weakness(password, owner=(name, email))
    if reason is not None:
        events.registration("refused")
        raise ValidationFailed(details={"password": [reason]})
    # Hashed before anything is asked about the address, so that all addresses cost the same.
    return NewUser(name=name, email=email, password_hash=await passwords.hash(password))
