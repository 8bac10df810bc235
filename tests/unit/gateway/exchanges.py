"""Exchanges and principals for tests of the stages."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from services.gateway.exchange import Exchange
from shared.identity import Principal, Role, Tier

USER = UUID("01900000-0000-7000-8000-000000000001")


def exchange(
    path: str = "/api/v1/tasks",
    headers: Mapping[str, str | list[str]] | None = None,
    *,
    method: str = "GET",
    query: str = "",
    peer: str = "192.0.2.7",
    **more: str | list[str],
) -> Exchange:
    """A request; `x_request_id="a"` is the header `x-request-id: a`, a list several of them."""
    fields = [
        (name.replace("_", "-").encode(), value.encode("latin-1"))
        for name, values in {**(headers or {}), **more}.items()
        for value in ([values] if isinstance(values, str) else values)
    ]
    return Exchange(
        method=method, path=path, query=query, headers=fields, peer=peer, received_at=0.0
    )


def principal(tier: Tier = Tier.DEFAULT, user_id: UUID = USER) -> Principal:
    """A caller with a good token."""
    return Principal(
        user_id=user_id,
        role=Role.USER,
        tier=tier,
        session_id="s",
        token_id="t",
        scope=frozenset(),
        epoch=0,
        expires_at=4_000_000_000,
    )
