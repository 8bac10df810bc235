"""Accounts in the hands of administrators and moderators."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from services.auth.audit.event import AuditEvent
from services.auth.audit.recording import Detail, record
from services.auth.domain import EmailTaken, Ending, LastAdministrator, NewUser, User
from services.auth.events import AuthEvents
from services.auth.passwords.hashing import Passwords
from services.auth.passwords.strength import weakness
from services.auth.repository import AuthRepository, AuthStore
from services.auth.usecases.lockout import Lockout
from services.auth.usecases.sessions import live_user
from shared.errors import Forbidden, NotFound, ValidationFailed
from shared.identity import PERMISSIONS, Permission, Role, Tier

# Changes of these make the account's tokens say something wrong.
_IN_TOKENS = ("role", "tier", "is_active")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who acts: his session or API key, and the scope of his token (empty: the whole role)."""

    session_id: UUID
    scope: frozenset[str]


@dataclass(frozen=True, slots=True)
class Actor:
    """The caller as the database knows him at this moment, whatever his token says."""

    id: UUID
    rights: frozenset[Permission]


@dataclass(frozen=True, slots=True)
class UserPage:
    users: list[User]
    total: int


async def list_users(
    store: AuthStore,
    caller: Caller,
    *,
    filters: Mapping[str, Any],
    offset: int,
    limit: int,
    now: datetime,
) -> UserPage:
    """Accounts by filter, the newest first. Raises Forbidden and InvalidToken."""
    async with store.read() as repository:
        await actor_of(repository, caller, Permission.USERS_READ, now)
        return UserPage(*await repository.directory.page(filters, offset=offset, limit=limit))


async def read_user(store: AuthStore, caller: Caller, *, user_id: UUID, now: datetime) -> User:
    """One account. Raises NotFound, Forbidden and InvalidToken."""
    async with store.read() as repository:
        await actor_of(repository, caller, Permission.USERS_READ, now)
        user = await repository.directory.one(user_id)
    if user is None:
        raise NotFound
    return user


async def create_user(
    store: AuthStore,
    passwords: Passwords,
    events: AuthEvents,
    caller: Caller,
    *,
    name: str,
    email: str,
    password: str,
    role: str,
    tier: str,
    now: datetime,
) -> User:
    """An account with a role and a tier. Raises EmailTaken, ValidationFailed, Forbidden."""
    async with store.read() as repository:
        actor = await actor_of(repository, caller, Permission.USERS_WRITE, now)
    _may_grant(actor.rights, Role(role))
    reason = weakness(password, owner=(name, email))
    if reason is not None:
        raise ValidationFailed(details={"password": [reason]})
    new = NewUser(
        name=name,
        email=email,
        password_hash=await passwords.hash(password),
        role=Role(role),
        tier=Tier(tier),
    )
    async with store.begin() as repository:
        # Hashing took its time: the right may be gone.
        await actor_of(repository, caller, Permission.USERS_WRITE, now)
        user = await repository.users.add(new, now)
        if user is not None:
            await _note(
                repository, AuditEvent.USER_CREATED, actor, user.id, now, role=role, tier=tier
            )
    if user is None:
        raise EmailTaken(details={"email": ["Is already registered."]})
    events.administration("created", user_id=user.id)
    return user


async def change_user(
    store: AuthStore,
    lockout: Lockout,
    events: AuthEvents,
    caller: Caller,
    *,
    user_id: UUID,
    changes: Mapping[str, Any],
    now: datetime,
) -> User:
    """The account after `changes` of name, role, tier or is_active; `locked` False unlocks it.

    A change that tokens tell of makes the present ones void; a ban ends the sessions too. Raises
    NotFound, Forbidden, LastAdministrator and InvalidToken.
    """
    async with store.begin() as repository:
        actor = await actor_of(repository, caller, Permission.USERS_BAN, now)
        rights = actor.rights
        if set(changes) - {"is_active"} and Permission.USERS_WRITE not in rights:
            raise Forbidden(details={"permission": [f"Needs {Permission.USERS_WRITE.value}."]})
        if "role" in changes:
            _may_grant(rights, Role(changes["role"]))
        stays_admin = changes.get("role", Role.ADMIN) == Role.ADMIN and changes.get(
            "is_active", True
        )
        unlocks = changes.get("locked") is False
        if unlocks:
            await _unlock(repository, lockout, user_id)
        user = await _target(repository, rights, user_id, stays_admin=stays_admin)
        changed = await repository.directory.change(user_id, changes, now)
        if unlocks:
            await _note(repository, AuditEvent.USER_UNLOCKED, actor, user_id, now)
        await _note_changes(repository, actor, user, changed, now)
        if any(getattr(changed, name) != getattr(user, name) for name in _IN_TOKENS):
            await _void(repository, changed, now)
    events.administration("changed", user_id=user_id)
    return changed


async def delete_user(
    store: AuthStore, events: AuthEvents, caller: Caller, *, user_id: UUID, now: datetime
) -> None:
    """Takes an account away, leaves no personal data, and tells whoever has more of it.

    Raises NotFound, Forbidden, LastAdministrator and InvalidToken.
    """
    async with store.begin() as repository:
        actor = await actor_of(repository, caller, Permission.USERS_WRITE, now)
        await _target(repository, actor.rights, user_id, stays_admin=False)
        await repository.directory.erase(user_id, now)
        epoch = await repository.users.begin_epoch(user_id, now)
        await repository.sessions.end_all(user_id, Ending.ACCOUNT_DELETED, now)
        await _note(repository, AuditEvent.USER_DELETED, actor, user_id, now)
        await repository.deletions.publish(user_id, now)
        await repository.revocations.void_tokens(user_id, epoch)
    events.administration("deleted", user_id=user_id)


async def actor_of(
    repository: AuthRepository, caller: Caller, needed: Permission, now: datetime
) -> Actor:
    """Who calls and what he may do at this moment. Raises Forbidden and InvalidToken."""
    actor = await live_user(repository, caller.session_id, now, keys_too=True)
    rights = PERMISSIONS[actor.role]
    if caller.scope:
        rights = frozenset(right for right in rights if right.value in caller.scope)
    if needed not in rights:
        raise Forbidden(details={"permission": [f"Needs {needed.value}."]})
    return Actor(actor.id, rights)


async def _target(
    repository: AuthRepository,
    rights: frozenset[Permission],
    user_id: UUID,
    *,
    stays_admin: bool,
) -> User:
    """The account to change, held. Raises NotFound, Forbidden and LastAdministrator."""
    # Before the account itself, and all in one order, so that no two wait for each other.
    administrators = [] if stays_admin else await repository.directory.administrators()
    user = await repository.directory.locked(user_id)
    if user is None:
        raise NotFound
    if Permission.USERS_WRITE not in rights and not PERMISSIONS[user.role] < rights:
        raise Forbidden(details={"user_id": ["Only those with fewer rights than yours."]})
    if administrators == [user_id]:
        raise LastAdministrator
    return user


async def _unlock(repository: AuthRepository, lockout: Lockout, user_id: UUID) -> None:
    """Forgets wrong passwords. Before the account is held: a login takes the two in this order."""
    user = await repository.directory.one(user_id)
    if user is None:
        raise NotFound
    await lockout.release(repository, user)


def _may_grant(rights: frozenset[Permission], role: Role) -> None:
    """Nobody grants more than he has. Raises Forbidden."""
    if not PERMISSIONS[role] <= rights:
        raise Forbidden(details={"role": ["Has rights that you have not."]})


async def _note(
    repository: AuthRepository,
    event: AuditEvent,
    actor: Actor,
    user_id: UUID,
    now: datetime,
    **details: Detail,
) -> None:
    await record(repository, event, now, user_id=user_id, actor_id=actor.id, details=details)


async def _note_changes(
    repository: AuthRepository, actor: Actor, old: User, new: User, now: datetime
) -> None:
    """One event for each thing that is other than it was. Names are personal, so none is told."""
    if new.name != old.name:
        await _note(repository, AuditEvent.USER_RENAMED, actor, old.id, now)
    for event, before, after in (
        (AuditEvent.USER_ROLE_CHANGED, old.role, new.role),
        (AuditEvent.USER_TIER_CHANGED, old.tier, new.tier),
    ):
        if before != after:
            await _note(repository, event, actor, old.id, now, old=before.value, new=after.value)
    if new.is_active != old.is_active:
        event = AuditEvent.USER_UNBANNED if new.is_active else AuditEvent.USER_BANNED
        await _note(repository, event, actor, old.id, now)


async def _void(repository: AuthRepository, user: User, now: datetime) -> None:
    epoch = await repository.users.begin_epoch(user.id, now)
    if not user.is_active:
        await repository.sessions.end_all(user.id, Ending.ACCOUNT_DISABLED, now)
    await repository.revocations.void_tokens(user.id, epoch)
