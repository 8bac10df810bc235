"""One's own account."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from services.auth.domain import User
from services.auth.repository import AuthStore
from services.auth.usecases.sessions import live_user
from shared.errors import InvalidToken


async def read_profile(store: AuthStore, *, session_id: UUID, now: datetime) -> User:
    """The caller's account. Raises InvalidToken when his session has ended."""
    async with store.read() as repository:
        return await live_user(repository, session_id, now, keys_too=True)


async def change_profile(
    store: AuthStore, *, session_id: UUID, name: str | None, now: datetime
) -> User:
    """The caller's account under another name; None leaves it. Raises InvalidToken."""
    async with store.begin() as repository:
        user = await live_user(repository, session_id, now, keys_too=True)
        if name is None:
            return user
        changed = await repository.users.rename(user.id, name, now)
    if changed is None:
        raise InvalidToken
    return changed
