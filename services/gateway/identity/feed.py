"""Follows auth's feed of revocations, so that each is felt within a second."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from services.gateway.identity.revoked import Revocation, Revoked
from shared.auth_internal import AuthAway, AuthInternal
from shared.outage import Outage

log = structlog.get_logger(__name__)

PATH = "/internal/revocations"
# Short enough that a peer which vanished without a word is noticed in a few seconds.
WAIT_SECONDS = 5
ANSWER_SECONDS = 2.0
SHORTEST_PAUSE, LONGEST_PAUSE = 0.1, 1.0
LAG_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 30.0)


class RevocationFeed:
    """Keeps `revoked` up to date; `on_news` is called after every page that had some."""

    def __init__(
        self,
        auth: AuthInternal,
        revoked: Revoked,
        registry: CollectorRegistry,
        on_news: Callable[[], None],
    ) -> None:
        self._auth = auth
        self._revoked = revoked
        self._on_news = on_news
        self._after = 0
        self._synced = False
        self._lag = Histogram(
            "revocation_lag_seconds",
            "From a revocation at auth to its being enforced here",
            buckets=LAG_BUCKETS,
            registry=registry,
        )
        self._failures = Counter(
            "revocation_feed_failures_total", "Calls for revocations that failed", registry=registry
        )
        Gauge(
            "revocation_feed_age_seconds",
            "Time since auth last told what is revoked",
            registry=registry,
        ).set_function(lambda: revoked.age_seconds)
        Gauge("revocations_held", "Revocations that still matter", registry=registry).set_function(
            lambda: len(revoked)
        )

    async def follow(self) -> None:
        """Follows for ever; a background task runs it. After a gap it goes on where it was."""
        pause = SHORTEST_PAUSE
        outage = Outage()
        while True:
            try:
                await self._turn_page()
            except AuthAway as error:
                self._failures.inc()
                outage.failed(log, "revocation_feed_failed", error=str(error), after=self._after)
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            else:
                outage.is_over()
                pause = SHORTEST_PAUSE

    async def _turn_page(self) -> None:
        # The first page is wanted at once: without it no token is good.
        wait = WAIT_SECONDS if self._synced else 0
        page = await self._auth.get(
            PATH,
            {"after": str(self._after), "wait": str(wait)},
            seconds=wait + ANSWER_SECONDS,
        )
        try:
            revocations = [_read(entry) for entry in page["revocations"]]
            following, more, reset = int(page["next"]), bool(page["more"]), bool(page["reset"])
        except (KeyError, TypeError, ValueError) as error:
            raise AuthAway(f"not a page of revocations: {error!r}") from error
        if reset:
            log.warning("revocation_feed_reset", after=self._after)
            self._revoked.clear()
        self._after = following
        if more and not self._synced:
            # The beginning of a feed is no news, and with a part of it no token is good yet.
            self._revoked.learn(revocations)
            return
        self._revoked.take(revocations)
        if revocations:
            self._on_news()
            if self._synced:
                now = time.time()
                for one in revocations:
                    self._lag.observe(max(0.0, now - one.at))
        self._synced = True


def _read(entry: Any) -> Revocation:
    """One entry of a page. Raises KeyError, TypeError or ValueError."""
    epoch = entry["epoch"]
    if epoch is not None and type(epoch) is not int:
        raise TypeError("an epoch is a whole number")
    return Revocation(
        subject=UUID(entry["subject"]),
        epoch=epoch,
        at=datetime.fromisoformat(entry["at"]).timestamp(),
    )
