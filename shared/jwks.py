"""Auth's public keys, kept at hand by every process that verifies tokens (RFC 7517)."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable

import jwt
import orjson
import structlog
from aiohttp import ClientError, ClientSession, ClientTimeout
from prometheus_client import CollectorRegistry, Gauge

from shared.errors import ServiceUnavailable
from shared.identity import ALGORITHM
from shared.outage import Outage

log = structlog.get_logger(__name__)

# Fetches the raw key set; raises OSError, ClientError, TimeoutError or ValueError.
Fetch = Callable[[], Awaitable[bytes]]

MAX_KEY_SET_BYTES = 65_536
MAX_KEYS = 32
# A key that leaks is refused everywhere this long after it was withdrawn.
REFRESH_SECONDS = 10.0


class JwksCache:
    """Verification keys by id, refreshed in the background.

    A key set that was fetched once is kept while auth is away, so tokens already issued stay good.
    An unknown key id causes at most one fetch per `cooldown_seconds`, shared by all who wait.
    `withdrawn` is called when a key is gone, for who remembers what was verified with it.
    """

    def __init__(
        self,
        fetch: Fetch,
        *,
        refresh_seconds: float = REFRESH_SECONDS,
        cooldown_seconds: float = 5.0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.withdrawn: Callable[[], None] = lambda: None
        self._fetch = fetch
        self._refresh_seconds = refresh_seconds
        self._cooldown_seconds = cooldown_seconds
        self._now = now
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._inflight: asyncio.Task[None] | None = None
        self._outage = Outage(now)

    @property
    def age_seconds(self) -> float | None:
        """Seconds since the last good fetch, or None before the first."""
        return None if self._fetched_at is None else self._now() - self._fetched_at

    def export_age(self, registry: CollectorRegistry) -> None:
        """Adds the gauge `jwks_age_seconds`, which is infinite before the first good fetch."""
        Gauge(
            "jwks_age_seconds", "Time since the key set was last fetched", registry=registry
        ).set_function(lambda: math.inf if self.age_seconds is None else self.age_seconds)

    async def key(self, key_id: str) -> jwt.PyJWK | None:
        """The key named `key_id`. Raises ServiceUnavailable when there are no keys at all."""
        found = self._keys.get(key_id)
        if found is not None:
            return found
        if self._may_try():
            await self.refresh()
        if not self._keys:
            raise ServiceUnavailable("Identity cannot be verified right now")
        return self._keys.get(key_id)

    def has(self, key_id: str) -> bool:
        """Whether the key was in the last key set that could be fetched."""
        return key_id in self._keys

    async def refresh(self) -> None:
        """Fetches the key set; one fetch serves all callers. A failure keeps what is known."""
        if self._inflight is None:
            self._tried_at = self._now()
            self._inflight = asyncio.create_task(self._load())
            self._inflight.add_done_callback(self._settled)
        # A caller that gives up must not cancel the fetch for the others.
        await asyncio.shield(self._inflight)

    async def keep_fresh(self) -> None:
        """Refreshes for ever; a background task runs it. Retries a failure within a second."""
        while True:
            await self.refresh()
            age = self.age_seconds
            fresh = age is not None and age < self._refresh_seconds
            # Before the first key set nobody is served, so that one is asked for more often.
            pause = 0.25 if age is None else 1.0
            await asyncio.sleep(self._refresh_seconds if fresh else pause)

    def _settled(self, _task: asyncio.Task[None]) -> None:
        self._inflight = None

    def _may_try(self) -> bool:
        # Without any key every caller is refused anyway, so a second's pause is enough.
        pause = self._cooldown_seconds if self._keys else 1.0
        return (
            self._tried_at is None
            or self._now() - self._tried_at >= pause
            or (self._inflight is not None)
        )

    async def _load(self) -> None:
        try:
            keys = parse_key_set(await self._fetch())
        except (OSError, ClientError, TimeoutError, ValueError) as error:
            self._outage.failed(
                log, "jwks_fetch_failed", error=str(error), known_keys=len(self._keys)
            )
            return
        self._outage.is_over()
        known, self._keys = self._keys, keys
        self._fetched_at = self._now()
        if known.keys() - keys.keys():
            self.withdrawn()


def parse_key_set(body: bytes) -> dict[str, jwt.PyJWK]:
    """RSA signing keys of a JWK set by `kid`. Raises ValueError on anything else."""
    document = orjson.loads(body)
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list) or not 0 < len(entries) <= MAX_KEYS:
        raise ValueError("not a JWK set")
    keys: dict[str, jwt.PyJWK] = {}
    for entry in entries:
        if not isinstance(entry, dict) or not isinstance(entry.get("kid"), str):
            raise ValueError("a key without an id")
        if entry.get("kty") != "RSA" or entry.get("use", "sig") != "sig":
            continue
        try:
            keys[entry["kid"]] = jwt.PyJWK(entry, algorithm=ALGORITHM)
        except jwt.PyJWTError as error:
            raise ValueError(f"unusable key {entry['kid']!r}") from error
    if not keys:
        raise ValueError("no RSA signing key in the set")
    return keys


def http_fetch(session: ClientSession, url: str, *, timeout_seconds: float = 2.0) -> Fetch:
    """A `Fetch` over HTTP that neither follows redirects nor reads more than 64 KiB."""

    async def fetch() -> bytes:
        async with session.get(
            url, allow_redirects=False, timeout=ClientTimeout(total=timeout_seconds)
        ) as answer:
            if answer.status != 200:
                raise ValueError(f"status {answer.status} from the key set")
            body = await answer.content.read(MAX_KEY_SET_BYTES + 1)
            while len(body) <= MAX_KEY_SET_BYTES and not answer.content.at_eof():
                body += await answer.content.read(MAX_KEY_SET_BYTES + 1 - len(body))
        if len(body) > MAX_KEY_SET_BYTES:
            raise ValueError("the key set is too large")
        return body

    return fetch
