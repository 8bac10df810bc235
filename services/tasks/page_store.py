"""Pages of lists that were shown before, by owner and by what was asked for.

A page is kept with the revision of its owner's feed. Every write moves that revision, so nothing
has to be told when a task is written: a page of another revision is not looked at.
"""

from __future__ import annotations

import asyncio
import hmac
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from hashlib import blake2b, sha256
from typing import Any, NamedTuple
from uuid import UUID

import structlog
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.breaker import Breaker
from shared.errors import ServiceUnavailable
from shared.tally import Tally
from shared.version import VERSION

log = structlog.get_logger(__name__)

MAX_BODY = 256 * 1024
MAX_TARGET = 2_000
_SEAL = 32


class PageKey(NamedTuple):
    """Whose list, and which part of it: the target of the request as it was sent."""

    owner_id: UUID
    target: str

    def tag(self, revision: str) -> str:
        """The strong entity tag of this page at that revision, as this version shows it."""
        text = f"{self.owner_id} {revision} {VERSION} {self.target}"
        return f'"{blake2b(text.encode(), digest_size=16).hexdigest()}"'


class Page(NamedTuple):
    """The JSON of a page; a page without a `revision` cannot be kept."""

    revision: str
    body: bytes


Make = Callable[[], Awaitable[Page]]


class MemoryPages:
    """The pages that this process showed last, at most `size` bytes of them."""

    def __init__(self, size: int = 8 * 1024 * 1024) -> None:
        self._size = size
        self._held = 0
        self._pages: OrderedDict[PageKey, Page] = OrderedDict()

    def get(self, key: PageKey, revision: str) -> Page | None:
        """The page of that revision."""
        page = self._pages.get(key)
        if page is None or page.revision != revision:
            return None
        self._pages.move_to_end(key)
        return page

    def put(self, key: PageKey, page: Page) -> None:
        """Keeps a page in the place of an older one; the ones not used for longest make room."""
        before = self._pages.pop(key, None)
        if before is not None:
            self._held -= _weight(key, before)
        self._pages[key] = page
        self._held += _weight(key, page)
        while self._held > self._size:
            self._held -= _weight(*self._pages.popitem(last=False))


class RedisPages:
    """Pages that all processes of tasks share; without Redis there are none, and that is all.

    A call takes at most `timeout` seconds. After a failure nobody calls until the breaker lets one
    try. What is stored is sealed under its name with the secret of the database: whoever can write
    to Redis, or mixes up its answers, cannot make anybody see another page than his own.
    """

    def __init__(
        self,
        client: Redis,
        secret: Callable[[], Awaitable[bytes]],
        outcomes: Tally,
        *,
        timeout: float = 0.1,
        keep_seconds: int = 10,
        most_calls: int = 16,
        breaker: Breaker | None = None,
    ) -> None:
        self._client = client
        self._secret = secret
        self._timeout = timeout
        self._keep_seconds = keep_seconds
        self._most_calls = most_calls
        self._breaker = breaker or Breaker()
        self._calls = 0
        self._stores: set[asyncio.Task[None]] = set()
        self._outcomes = outcomes

    async def get(self, key: PageKey, revision: str) -> Page | None:
        """The page of that revision, if it is there and Redis can be asked."""
        name = _name(key, revision)
        found, value = await self._call(lambda: self._client.get(name))
        if not found:
            return None
        if value is None:
            self._outcomes.add(("miss",))
            return None
        seal, body = bytes(value[:_SEAL]), bytes(value[_SEAL:])
        if not hmac.compare_digest(seal, self._seal(await self._secret(), name, body)):
            self._outcomes.add(("refused",))
            return None
        self._outcomes.add(("hit",))
        return Page(revision, body)

    def put(self, key: PageKey, page: Page) -> None:
        """Stores a page without letting anybody wait for it."""
        if len(self._stores) < self._most_calls:
            task = asyncio.create_task(self._put(key, page))
            self._stores.add(task)
            task.add_done_callback(self._stores.discard)

    async def ping(self) -> None:
        """Raises when Redis does not answer; the health report asks."""
        async with asyncio.timeout(self._timeout):
            await self._client.ping()

    async def close(self) -> None:
        """Ends what is under way, and the connections."""
        for task in self._stores:
            task.cancel()
        await asyncio.gather(*self._stores, return_exceptions=True)
        await self._client.aclose()

    async def _put(self, key: PageKey, page: Page) -> None:
        name = _name(key, page.revision)
        try:
            value = self._seal(await self._secret(), name, page.body) + page.body
        except ServiceUnavailable:
            return
        stored, _ = await self._call(lambda: self._client.set(name, value, ex=self._keep_seconds))
        if stored:
            self._outcomes.add(("stored",))

    async def _call(self, call: Callable[[], Awaitable[object]]) -> tuple[bool, Any]:
        """Whether Redis answered, and what."""
        if self._calls >= self._most_calls or not self._breaker.allows():
            self._outcomes.add(("skipped",))
            return False, None
        self._calls += 1
        try:
            async with asyncio.timeout(self._timeout):
                value = await call()
            if not isinstance(value, bytes | bool | None):
                raise TypeError("Redis gave an answer of another shape")
        except (RedisError, OSError, TimeoutError, ValueError, TypeError) as error:
            if self._breaker.closed:
                log.warning("list_redis_failed", error=repr(error)[:200])
            self._breaker.failed()
            self._outcomes.add(("failed",))
            return False, None
        finally:
            self._calls -= 1
        self._breaker.succeeded()
        return True, value

    @staticmethod
    def _seal(secret: bytes, name: str, body: bytes) -> bytes:
        return hmac.digest(secret, name.encode() + b"\n" + body, sha256)


def redis_outcomes(registry: CollectorRegistry) -> Tally:
    """What RedisPages counts in; without Redis it is there as well, and stays at nought."""
    outcomes = Tally(
        "tasks_list_redis_total",
        "Calls of Redis for pages of lists by how they ended",
        ("outcome",),
        registry=registry,
    )
    for outcome in ("hit", "miss", "stored", "failed", "skipped", "refused"):
        outcomes.add((outcome,), 0)
    return outcomes


class Pages:
    """The way to a page: from memory, from Redis, or made once for all that want it now."""

    def __init__(
        self, memory: MemoryPages, remote: RedisPages | None, registry: CollectorRegistry
    ) -> None:
        self._memory = memory
        self._remote = remote
        self._flights: dict[tuple[PageKey, str], asyncio.Future[Page]] = {}
        self.shown = Tally(
            "tasks_list_pages_total",
            "Pages of lists by where they came from; `unchanged` were answered 304",
            ("source",),
            registry=registry,
        )

    async def get(self, key: PageKey, revision: str, make: Make) -> Page:
        """The page at that revision or a later one. Raises what `make` raises."""
        kept = self._memory.get(key, revision)
        if kept is not None:
            self.shown.add(("memory",))
            return kept
        flight = self._flights.get((key, revision))
        if flight is not None:
            # Whoever began may fail or leave; then everybody sees for himself.
            await asyncio.wait([flight])
            if not flight.cancelled():
                self.shown.add(("memory",))
                return flight.result()
            return await self._make(key, revision, make)
        flight = self._flights[key, revision] = asyncio.get_running_loop().create_future()
        try:
            page = await self._make(key, revision, make)
            flight.set_result(page)
        finally:
            flight.cancel()
            del self._flights[key, revision]
        return page

    async def _make(self, key: PageKey, revision: str, make: Make) -> Page:
        if self._remote is not None:
            page = await self._remote.get(key, revision)
            if page is not None:
                self._memory.put(key, page)
                self.shown.add(("redis",))
                return page
        page = await make()
        self.shown.add(("database",))
        if page.revision and len(page.body) <= MAX_BODY and len(key.target) <= MAX_TARGET:
            self._memory.put(key, page)
            if self._remote is not None:
                self._remote.put(key, page)
        return page


def _name(key: PageKey, revision: str) -> str:
    return f"tasks:page:{key.owner_id}:{revision}:{key.tag(revision)[1:-1]}"


def _weight(key: PageKey, page: Page) -> int:
    return len(page.body) + len(key.target) + 500
