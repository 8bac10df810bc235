"""The cache stage: answers that are `public` are kept for all, on routes that say so (RFC 9111).

Who brings a credential is neither answered from it nor adds to it. Requests for the same, while the
first of them is on its way, wait for its answer instead of being carried on as well. An answer past
its time is not thrown away: the service is asked whether it is still good, and it may stand in for
one that the service does not give.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from services.gateway.cache import freshness
from services.gateway.cache.store import MOST_BODY, Entry, Key, Store, values_of
from services.gateway.exchange import Answer, Exchange, Forward, Headers
from services.gateway.framing import rendered
from shared.tally import Tally

WAIT_SECONDS = 5.0  # for another's answer; then a request goes on by itself

_SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_NOT_SHARED = (
    b"authorization", b"cookie", b"if-match", b"if-unmodified-since", b"range", b"upgrade",
    b"x-api-key",
)  # fmt: skip
_CONDITIONS = (b"if-none-match", b"if-modified-since")
_CONDITION_LINES = (b"if-none-match:", b"if-modified-since:")
# What stands for a service that has failed (RFC 5861 section 4).
_FAILURES = frozenset({500, 502, 503, 504})
_AUTHORITY = (b"host", b"x-forwarded-host", b"x-forwarded-proto")
_ON_304 = frozenset(
    {b"age", b"cache-control", b"cache-status", b"content-location", b"etag", b"expires", b"vary"}
)


@dataclass(slots=True)
class Visit:
    """What the cache has to do with one exchange that goes on to its service."""

    key: Key
    epoch: int
    fwd: bytes  # why it goes on, a parameter of Cache-Status (RFC 9211 section 2.2)
    stores: bool = False
    unsafe: bool = False
    result: str = "bypass"  # what it is counted as
    kept: Entry | None = None  # what is stored and not fresh enough
    asks: bool = False  # whether the service is asked if that is still good
    patient: bool = False  # whether nothing in the request speaks against it, stale as it is
    flight: asyncio.Future[None] | None = None  # done when others need not wait any longer


class CacheStage:
    """Finds answers, keeps answers, and makes requests for the same wait for one of them."""

    def __init__(
        self, registry: CollectorRegistry, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._store = Store()
        self._flights: dict[Key, asyncio.Future[None]] = {}
        # Counts what was dropped: an answer that was asked for before may be out of date.
        self._epoch = 0
        self._results = Tally(
            "cache_requests_total",
            "Requests of cached routes by what the cache did",
            ("result",),
            registry=registry,
        )

    async def find(self, exchange: Exchange, order: Forward) -> Answer | None:
        """The stored answer to the request; None if it has to be carried on.

        It waits, for WAIT_SECONDS at most, where the same is being asked for already.
        """
        key = Key(order.upstream, order.target, tuple(map(exchange.fields.get, _AUTHORITY)))
        visit = exchange.visit = Visit(key, self._epoch, b"bypass")
        wish = None
        if exchange.method != "GET":
            visit.fwd, visit.unsafe = b"method", exchange.method not in _SAFE
        elif _is_anybodys(exchange):
            wish = freshness.wish_of(exchange)
        if wish is None:
            return None
        visit.stores, visit.result = True, "miss"
        found = self._lookup(visit, exchange, wish)
        if found is not None:
            return self._answer(exchange, found, b"hit", "hit")
        # Who demands an answer newer than any that is kept takes nobody else's.
        if wish.most_age > 0:
            flight = self._flights.get(key)
            if flight is not None:
                await asyncio.wait((flight,), timeout=WAIT_SECONDS)
                found = self._lookup(visit, exchange, wish)
                if found is not None:
                    return self._answer(exchange, found, b"fwd=miss; collapsed", "collapsed")
            elif not any(name in exchange.fields for name in _CONDITIONS) or visit.asks:
                # The answer to a client's own condition may be one for it only: a 304.
                visit.flight = asyncio.get_running_loop().create_future()
                self._flights[key] = visit.flight
        visit.epoch = self._epoch
        if visit.kept is not None and visit.asks:
            order.lines = _asking(order.lines, visit.kept)
        return None

    def wants(self, exchange: Exchange, status: int, headers: Headers, length: int | None) -> bool:
        """Whether the answer of the service is to be read whole and given to `keep`.

        A change that has succeeded makes what is stored at its path out of date.
        """
        visit = exchange.visit
        if visit is None:
            return False
        if visit.asks and status == 304:
            return True
        if visit.unsafe and status < 400:
            self._epoch += 1
            self._flights.clear()
            self._store.drop(visit.key.upstream, visit.key.path)
        seconds = freshness.lifetime(headers) if visit.stores and status == 200 else None
        small = length is not None and length <= MOST_BODY
        if seconds is None or seconds <= freshness.age_of(headers) or not small:
            self.leave(exchange)
            return False
        return True

    def keep(self, exchange: Exchange, headers: Headers, body: bytes) -> Headers:
        """Stores a complete answer that `wants` was true for; its fields with Cache-Status."""
        visit, names = exchange.visit, freshness.vary_names(headers)
        if visit is None or names is None or visit.epoch != self._epoch:
            return self.told(exchange, headers)
        born = self._clock() - freshness.age_of(headers) - (exchange.upstream_seconds or 0.0)
        kept = [field for field in headers if field[0] != b"age"]
        until = born + (freshness.lifetime(headers) or 0)
        self._store.put(
            visit.key, Entry(kept, body, names, values_of(exchange, names), born, until)
        )
        visit.fwd += b"; stored"
        self.leave(exchange)
        return self.told(exchange, headers)

    def confirmed(self, exchange: Exchange, headers: Headers) -> Answer | None:
        """What is stored, as the service's 304 with the fields `headers` says that it is good.

        None where the service speaks of something else, which is forgotten.
        """
        visit = exchange.visit
        assert visit is not None
        entry = visit.kept
        assert entry is not None
        if not freshness.confirms(headers, entry.headers):
            visit.kept = None
            self._store.drop(visit.key.upstream, visit.key.path)
            return None
        fields, age = freshness.updated(entry.headers, headers), freshness.age_of(headers)
        visit.result, visit.fwd = "revalidated", visit.fwd + b"; fwd-status=304"
        if (freshness.lifetime(fields) or 0) > age:
            self.keep(exchange, [*fields, (b"age", b"%d" % age)], entry.body)
        else:
            self._store.drop(visit.key.upstream, visit.key.path)
        if freshness.is_unchanged(exchange, fields):
            fields = [field for field in fields if field[0] in _ON_304]
            return Answer(304, self.told(exchange, fields))
        return Answer(200, self.told(exchange, fields), entry.body)

    def covers(self, exchange: Exchange, status: int) -> bool:
        """Whether a stored answer may stand in for one of this status (RFC 5861 section 4)."""
        visit, route = exchange.visit, exchange.route
        if visit is None or route is None or visit.kept is None or not visit.patient:
            return False
        late = self._clock() - visit.kept.until
        may = status in _FAILURES and freshness.may_be_stale(visit.kept.headers)
        return may and late < route.stale_if_error

    def stand_in(self, exchange: Exchange) -> Answer:
        """The stored answer that `covers` was true for."""
        visit = exchange.visit
        assert visit is not None
        assert visit.kept is not None
        return self._answer(exchange, visit.kept, b"fwd=stale; detail=stale-if-error", "stale")

    def told(self, exchange: Exchange, headers: Headers) -> Headers:
        """The fields of a service's answer with what the cache did (RFC 9211)."""
        if exchange.visit is None:
            return headers
        return [*headers, (b"cache-status", b"tasklane; fwd=" + exchange.visit.fwd)]

    def over(self, exchange: Exchange) -> None:
        """The exchange is over, however it ended."""
        self.leave(exchange)
        if exchange.visit is not None:
            self._results.add((exchange.visit.result,))

    def leave(self, exchange: Exchange) -> None:
        """Nobody needs to wait for this exchange any longer, stored or not."""
        visit = exchange.visit
        if visit is None or visit.flight is None:
            return
        if self._flights.get(visit.key) is visit.flight:
            del self._flights[visit.key]
        if not visit.flight.done():
            visit.flight.set_result(None)
        visit.flight = None

    def clear(self) -> None:
        """Forgets everything; answers that are on their way are not stored either."""
        self._epoch += 1
        self._flights.clear()
        self._store.clear()

    def _lookup(self, visit: Visit, exchange: Exchange, wish: freshness.Wish) -> Entry | None:
        entry, now = self._store.find(visit.key, exchange), self._clock()
        if entry is None:
            visit.fwd = b"miss"
        elif now >= entry.until:
            visit.fwd = b"stale"
        elif now - entry.born > wish.most_age or entry.until - now < wish.least_left:
            visit.fwd = b"request"
        else:
            return entry
        visit.kept = entry
        if entry is not None:
            visit.asks = bool(freshness.questions(entry.headers))
            visit.patient = now - entry.born <= wish.most_age and not wish.least_left
        return None

    def _answer(self, exchange: Exchange, entry: Entry, told: bytes, result: str) -> Answer:
        if exchange.visit is not None:
            exchange.visit.result = result
        now = self._clock()
        headers = [
            *entry.headers,
            (b"age", b"%d" % max(0, now - entry.born)),
            (b"cache-status", b"tasklane; %b; ttl=%d" % (told, entry.until - now)),
        ]
        if freshness.is_unchanged(exchange, entry.headers):
            return Answer(304, [field for field in headers if field[0] in _ON_304])
        return Answer(200, headers, entry.body)


def _is_anybodys(exchange: Exchange) -> bool:
    """Whether the request has nothing that tells one client from another."""
    if exchange.principal is not None or exchange.authorization is not None or exchange.has_body:
        return False
    return not any(name in exchange.fields for name in _NOT_SHARED)


def _asking(lines: bytes, kept: Entry) -> bytes:
    """The fields of an order with the cache's question in place of the client's own."""
    others = [
        line + b"\r\n"
        for line in lines.split(b"\r\n")
        if line and not line.startswith(_CONDITION_LINES)
    ]
    return b"".join(others) + rendered(freshness.questions(kept.headers))
