"""Accounts in the hands of administrators and moderators."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from services.auth.domain import EmailTaken, Ending, LastAdministrator, NewUser, User
from services.auth.events import AuthEvents
from services.auth.passwords.hashing import Passwords
from services.auth.passwords.strength import weakness
from services.auth.repository import AuthRepository, AuthStore
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
        await _rights(repository, caller, Permission.USERS_READ, now)
        return UserPage(*await repository.directory.page(filters, offset=offset, limit=limit))


async def read_user(store: AuthStore, caller: Caller, *, user_id: UUID, now: datetime) -> User:
    """One account. Raises NotFound, Forbidden and InvalidToken."""
    async with store.read() as repository:
        await _rights(repository, caller, Permission.USERS_READ, now)
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
        rights = await _rights(repository, caller, Permission.USERS_WRITE, now)
    _may_grant(rights, Role(role))
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
        await _rights(repository, caller, Permission.USERS_WRITE, now)
        user = await repository.users.add(new, now)
    if user is None:
        raise EmailTaken(details={"email": ["Is already registered."]})
    events.administration("created", user_id=user.id)
    return user


async def change_user(
    store: AuthStore,
    events: AuthEvents,
    caller: Caller,
    *,
    user_id: UUID,
    changes: Mapping[str, Any],
    now: datetime,
) -> User:
    """The account after `changes` of name, role, tier or is_active.

    A change that tokens tell of makes the present ones void; a ban ends the sessions too. Raises
    NotFound, Forbidden, LastAdministrator and InvalidToken.
    """
    async with store.begin() as repository:
        rights = await _rights(repository, caller, Permission.USERS_BAN, now)
        if set(changes) - {"is_active"} and Permission.USERS_WRITE not in rights:
            raise Forbidden(details={"permission": [f"Needs {Permission.USERS_WRITE.value}."]})
        if "role" in changes:
            _may_grant(rights, Role(changes["role"]))
        stays_admin = changes.get("role", Role.ADMIN) == Role.ADMIN and changes.get(
            "is_active", True
        )
        user = await _target(repository, rights, user_id, stays_admin=stays_admin)
        changed = await repository.directory.change(user_id, changes, now)
        if any(getattr(changed, name) != getattr(user, name) for name in _IN_TOKENS):
            await _void(repository, changed, now)
    events.administration("changed", user_id=user_id)
    return changed


async def delete_user(
    store: AuthStore, events: AuthEvents, caller: Caller, *, user_id: UUID, now: datetime
) -> None:
    """Takes an account away, and leaves no personal data.

    Raises NotFound, Forbidden, LastAdministrator and InvalidToken.
    """
    async with store.begin() as repository:
        rights = await _rights(repository, caller, Permission.USERS_WRITE, now)
        await _target(repository, rights, user_id, stays_admin=False)
        await repository.directory.erase(user_id, now)
        epoch = await repository.users.begin_epoch(user_id, now)
        await repository.sessions.end_all(user_id, Ending.ACCOUNT_DELETED, now)
        await repository.revocations.void_tokens(user_id, epoch)
    events.administration("deleted", user_id=user_id)


async def _rights(
    repository: AuthRepository, caller: Caller, needed: Permission, now: datetime
) -> frozenset[Permission]:
    """What the caller may do at this moment, whatever his token says. Raises Forbidden."""
    actor = await live_user(repository, caller.session_id, now, keys_too=True)
    rights = PERMISSIONS[actor.role]
    if caller.scope:
        rights = frozenset(right for right in rights if right.value in caller.scope)
    if needed not in rights:
        raise Forbidden(details={"permission": [f"Needs {needed.value}."]})
    return rights


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


def _may_grant(rights: frozenset[Permission], role: Role) -> None:
    """Nobody grants more than he has. Raises Forbidden."""
    if not PERMISSIONS[role] <= rights:
        raise Forbidden(details={"role": ["Has rights that you have not."]})


async def _void(repository: AuthRepository, user: User, now: datetime) -> None:
    epoch = await repository.users.begin_epoch(user.id, now)
    if not user.is_active:
        await repository.sessions.end_all(user.id, Ending.ACCOUNT_DISABLED, now)
    await repository.revocations.void_tokens(user.id, epoch)
