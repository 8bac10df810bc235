"""Follows auth's feed of deleted accounts, and takes away what was theirs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import structlog
from aiohttp import ClientSession
from prometheus_client import CollectorRegistry, Counter, Gauge

from services.tasks.settings import Settings
from services.tasks.usecases.erasure import Erasures, erase_some, position, take_over, waiting
from shared.auth_internal import AuthAway, AuthInternal
from shared.clock import utc_now
from shared.errors import ServiceUnavailable
from shared.outage import Outage

log = structlog.get_logger(__name__)

PATH = "/internal/deletions"
# Short enough that a peer which vanished without a word is noticed in half a minute.
WAIT_SECONDS = 20
ANSWER_SECONDS = 5.0
SHORTEST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
# Many calls have failed in a row by then.
STALE_SECONDS = 300.0
LOOK_SECONDS = 1.0


class FeedIsStale(Exception):
    """Auth has not told for a while who is gone, or never."""


class AccountFeed:
    """Keeps up with auth, which may be away for any time: its feed has no end of keeping.

    How far it has been read is in our own database, together with what was read. Without a service
    key nothing is followed: one service alone on a machine has no auth to ask.
    """

    def __init__(self, settings: Settings, erasures: Erasures, registry: CollectorRegistry) -> None:
        self._url = settings.auth_internal_url
        self._credential = settings.service_credential
        self._erasures = erasures
        self._heard_at = time.monotonic()
        self._told = Counter(
            "deleted_accounts_total", "Deleted accounts that auth told of", registry=registry
        )
        self._failures = Counter(
            "account_feed_failures_total", "Calls for deleted accounts that failed",
            registry=registry,
        )  # fmt: skip
        Gauge(
            "account_feed_age_seconds",
            "Time since auth last told which accounts are deleted",
            registry=registry,
        ).set_function(self._age)

    async def check(self) -> None:
        """Health check. Raises FeedIsStale."""
        if self._age() > STALE_SECONDS:
            raise FeedIsStale

    async def follow(self) -> None:
        """Follows for ever; a background task runs it. After a gap it goes on where it was."""
        if not self._credential:
            log.info("account_feed_not_followed", reason="SERVICE_CREDENTIAL is not set")
            await asyncio.Event().wait()
        pause, outage = SHORTEST_PAUSE, Outage()
        async with ClientSession() as session:
            auth = AuthInternal(session, lambda: (self._url,), self._credential)
            while True:
                try:
                    await self._turn_page(auth)
                except (AuthAway, ServiceUnavailable) as error:
                    self._failures.inc()
                    outage.failed(log, "account_feed_failed", error=str(error))
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, LONGEST_PAUSE)
                else:
                    outage.is_over()
                    pause = SHORTEST_PAUSE

    async def _turn_page(self, auth: AuthInternal) -> None:
        after = await position(self._erasures)
        page = await auth.get(
            PATH,
            {"after": str(after), "wait": str(WAIT_SECONDS)},
            seconds=WAIT_SECONDS + ANSWER_SECONDS,
        )
        owners, following, reset = _read(page)
        if reset:
            log.warning("account_feed_reset", after=after)
        if following != after:
            await take_over(self._erasures, owners, following, utc_now())
            self._told.inc(len(owners))
        self._heard_at = time.monotonic()

    def _age(self) -> float:
        return time.monotonic() - self._heard_at if self._credential else 0.0


class Eraser:
    """Removes the data of deleted accounts, a batch at a time. Several workers do not collide."""

    def __init__(self, erasures: Erasures, registry: CollectorRegistry) -> None:
        self._erasures = erasures
        self._erased = Counter(
            "erased_rows_total", "Rows of deleted accounts removed", registry=registry
        )
        self._failures = Counter(
            "erasure_failures_total", "Erasures put off by the database", registry=registry
        )
        self._waiting = Gauge(
            "erasures_waiting", "Deleted accounts whose data is still there", registry=registry
        )

    async def run(self) -> None:
        """Goes on until cancelled; a database that is away is tried again after the pause."""
        while True:
            removed = None
            try:
                removed = await erase_some(self._erasures, utc_now())
                self._erased.inc(removed or 0)
                self._waiting.set(await waiting(self._erasures, utc_now()))
            except ServiceUnavailable:
                self._failures.inc()
                log.warning("erasure_put_off")
            await asyncio.sleep(LOOK_SECONDS if removed is None else 0)


def _read(page: Any) -> tuple[Sequence[UUID], int, bool]:
    """Who is deleted, the number to go on from, and whether the feed begins anew.

    Raises AuthAway for what is no page.
    """
    try:
        owners = [UUID(entry["user_id"]) for entry in page["deletions"]]
        return owners, int(page["next"]), bool(page["reset"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise AuthAway(f"not a page of deletions: {error!r}") from error
