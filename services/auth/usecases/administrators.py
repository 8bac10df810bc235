"""The first administrator, made by who may run commands beside the database."""

from __future__ import annotations

from datetime import datetime

from services.auth.audit.event import AuditEvent
from services.auth.audit.recording import record
from services.auth.domain import EmailTaken, NewUser, User
from services.auth.passwords.hashing import Passwords
from services.auth.passwords.strength import weakness
from services.auth.repository import AuthStore
from shared.errors import ValidationFailed
from shared.identity import Role, Tier


async def create_administrator(
    store: AuthStore,
    passwords: Passwords,
    *,
    name: str,
    email: str,
    password: str,
    now: datetime,
) -> User:
    """Makes an account with the role `admin`. Raises EmailTaken, ValidationFailed."""
    reason = weakness(password, owner=(name, email))
    if reason is not None:
        raise ValidationFailed(details={"password": [reason]})
    new = NewUser(
        name=name,
        email=email,
        password_hash=await passwords.hash(password),
        role=Role.ADMIN,
        tier=Tier.ADMIN,
    )
    async with store.begin() as repository:
        user = await repository.users.add(new, now)
        if user is not None:
            await record(
                repository,
                AuditEvent.USER_CREATED,
                now,
                user_id=user.id,
                details={"role": Role.ADMIN.value},
            )
    if user is None:
        raise EmailTaken(details={"email": ["Is already registered."]})
    return user
