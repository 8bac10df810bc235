"""Auth's public keys as tasks keeps them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import jwt
from aiohttp import ClientSession
from prometheus_client import CollectorRegistry

from shared.jwks import JwksCache, http_fetch
from shared.process import background

# Several refreshes have failed in a row by then.
STALE_SECONDS = 300.0


class KeysAreStale(Exception):
    """Auth has not answered for a while, or never."""


class AuthKeys:
    """A KeySource over HTTP. Keys fetched once are kept while auth is away."""

    def __init__(self, url: str, registry: CollectorRegistry) -> None:
        self._url = url
        self._session: ClientSession | None = None
        self._cache = JwksCache(self._fetch)
        self._cache.export_age(registry)

    async def key(self, key_id: str) -> jwt.PyJWK | None:
        """As `KeySource.key`."""
        return await self._cache.key(key_id)

    def has(self, key_id: str) -> bool:
        """As `KeySource.has`."""
        return self._cache.has(key_id)

    async def check(self) -> None:
        """Health check. Raises KeysAreStale."""
        age = self._cache.age_seconds
        if age is None or age > STALE_SECONDS:
            raise KeysAreStale

    @asynccontextmanager
    async def kept_fresh(self) -> AsyncIterator[None]:
        """Fetches the keys, and again and again while the block runs."""
        async with ClientSession() as self._session:
            # The first try is awaited: with auth there, the first request finds its key.
            await self._cache.refresh()
            async with background(self._cache.keep_fresh):
                yield

    async def _fetch(self) -> bytes:
        if self._session is None:
            raise OSError("not started")
        return await http_fetch(self._session, self._url)()
