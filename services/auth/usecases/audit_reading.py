"""The audit log as administrators and the owners of accounts read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from services.auth.audit.event import AuditRecord
from services.auth.repository import AuthStore
from services.auth.usecases.administration import Caller, actor_of
from shared.errors import Forbidden
from shared.identity import Permission


@dataclass(frozen=True, slots=True)
class AuditPage:
    events: list[AuditRecord]
    total: int


async def read_audit(
    store: AuthStore,
    caller: Caller,
    *,
    filters: Mapping[str, Any],
    since: datetime | None,
    until: datetime | None,
    offset: int,
    limit: int,
    now: datetime,
) -> AuditPage:
    """Events of all accounts, the latest first. Raises Forbidden and InvalidToken."""
    async with store.read() as repository:
        await actor_of(repository, caller, Permission.AUDIT_READ, now)
        found = await repository.audit.page(
            filters, since=since, until=until, offset=offset, limit=limit
        )
    return AuditPage(*found)


async def read_own_audit(
    store: AuthStore,
    caller: Caller,
    *,
    user_id: UUID,
    filters: Mapping[str, Any],
    since: datetime | None,
    until: datetime | None,
    offset: int,
    limit: int,
    now: datetime,
) -> AuditPage:
    """Events about one account, for its owner and for administrators.

    Raises Forbidden, the same whether or not there is such an account, and InvalidToken.
    """
    async with store.read() as repository:
        actor = await actor_of(repository, caller, Permission.PROFILE, now)
        if actor.id != user_id and Permission.AUDIT_READ not in actor.rights:
            raise Forbidden(details={"permission": [f"Needs {Permission.AUDIT_READ.value}."]})
        found = await repository.audit.page(
            {**filters, "user_id": user_id}, since=since, until=until, offset=offset, limit=limit
        )
    return AuditPage(*found)
