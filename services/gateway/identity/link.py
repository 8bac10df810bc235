"""What the gateway keeps with auth beyond its public keys: who is revoked, whose key is whose."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import structlog
from aiohttp import ClientSession
from prometheus_client import CollectorRegistry

from services.gateway.identity.feed import RevocationFeed
from services.gateway.identity.revoked import Revoked
from shared.auth_internal import AuthInternal
from shared.errors import ServiceUnavailable
from shared.identity import Principal

log = structlog.get_logger(__name__)

# Closes what is open for unwanted principals, and says how much that was.
Cut = Callable[[Callable[[Principal], bool]], int]


class AuthLink:
    """Made without a service key it knows of no revocation, and of no credential but tokens."""

    def __init__(
        self,
        session: ClientSession,
        endpoints: Callable[[], tuple[str, ...]],
        registry: CollectorRegistry,
        *,
        credential: str,
        stale_seconds: float,
    ) -> None:
        self._registry = registry
        self.auth = AuthInternal(session, endpoints, credential) if credential else None
        self.revoked = Revoked(followed=self.auth is not None, stale_seconds=stale_seconds)

    async def check(self) -> None:
        """Health check: raises when it is not known what is revoked, so all would be refused."""
        try:
            self.revoked.check()
        except ServiceUnavailable as error:
            raise ConnectionError("auth has not told for too long what is revoked") from error

    def jobs(self, cut: Cut) -> tuple[Callable[[], Coroutine[Any, Any, None]], ...]:
        """What is to run in the background; `cut` closes the streams of the revoked."""
        if self.auth is None:
            return ()

        def on_news() -> None:
            count = cut(self.revoked.covers)
            if count:
                log.info("streams_of_revoked_sessions_cut", count=count)

        return (RevocationFeed(self.auth, self.revoked, self._registry, on_news).follow,)
