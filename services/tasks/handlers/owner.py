"""Whose tasks a request is about."""

from __future__ import annotations

from uuid import UUID

from aiohttp import web

from shared.endpoints import Given
from shared.errors import Forbidden
from shared.identity import Permission
from shared.middleware import PRINCIPAL

# The door under which clients know our paths.
PUBLIC_PREFIX = "/api"


def owner_of(request: web.Request, given: Given) -> UUID:
    """The caller, or the `owner_id` of the query. Raises Forbidden for one that he may not name."""
    principal = request[PRINCIPAL]
    owner_id: UUID | None = given.query.get("owner_id")
    if owner_id is None:
        return principal.user_id
    if not principal.may(Permission.TASKS_OF_OTHERS):
        raise Forbidden(details={"owner_id": ["Only admins may name another owner."]})
    return owner_id
