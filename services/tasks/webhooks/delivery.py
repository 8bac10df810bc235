"""Working the queue of deliveries off: each webhook by itself, so that none waits for another."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from functools import partial
from uuid import UUID

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from services.tasks.repository.deliveries import Claim, DeliveryQueue
from services.tasks.webhooks.message import body_of
from services.tasks.webhooks.schedule import give_up_after, pause_seconds
from services.tasks.webhooks.secrets import WebhookSecret, place_of
from services.tasks.webhooks.sender import Outcome, Sender
from services.tasks.webhooks.signature import sign
from shared.clock import utc_now
from shared.database import Store
from shared.errors import ServiceUnavailable
from shared.sealing import CannotUnseal, SealingKeys

log = structlog.get_logger(__name__)

AT_ONCE = 20
# Webhooks served at the same time, and how many of them at most when some keep us waiting.
WEBHOOKS_AT_ONCE, WEBHOOKS_AT_MOST = 100, 400
# A round that takes longer takes no place from others: the receiver is slow, hanging or gone.
_PROMPT_SECONDS = 1.0
_LAG_BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 600.0, 3600.0, 86400.0)


class DeliveryMetrics:
    """What the worker counts of its deliveries."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.attempts = Counter(
            "webhook_attempts_total",
            "Attempts by outcome: delivered, retried, dead",
            ("outcome",),
            registry=registry,
        )
        # From 0 on, or the first dead delivery would be no increase.
        for outcome in ("delivered", "retried", "dead"):
            self.attempts.labels(outcome)
        self.lag = Histogram(
            "webhook_lag_seconds",
            "From the change to its delivery",
            buckets=_LAG_BUCKETS,
            registry=registry,
        )
        self.disabled = Counter(
            "webhooks_disabled_total", "Webhooks disabled because they fail", registry=registry
        )
        self.busy = Gauge("webhooks_busy", "Webhooks being delivered to", registry=registry)


class Delivery:
    """Delivers for ever. Several workers may do so on one database."""

    def __init__(
        self,
        queue: Store[DeliveryQueue],
        keys: SealingKeys,
        sender: Sender,
        metrics: DeliveryMetrics,
        *,
        scale: float,
        lease: timedelta,
        poll_seconds: float,
    ) -> None:
        self._queue = queue
        self._keys = keys
        self._sender = sender
        self._metrics = metrics
        self._scale = scale
        self._lease = lease
        self._poll_seconds = poll_seconds
        self._busy: dict[UUID, asyncio.Task[None]] = {}
        self._round_began: dict[UUID, float] = {}

    async def run(self) -> None:
        """Goes on until cancelled; then the attempts under way are given up, not lost."""
        try:
            while True:
                await self._look()
                await asyncio.sleep(self._poll_seconds)
        finally:
            for task in self._busy.values():
                task.cancel()
            await asyncio.gather(*self._busy.values(), return_exceptions=True)

    async def _look(self) -> None:
        room = self._room()
        if room <= 0:
            return
        try:
            async with self._queue.read() as queue:
                waiting = await queue.waiting(list(self._busy), room)
        except ServiceUnavailable:
            log.warning("deliveries_put_off")
            return
        for webhook_id in waiting:
            task = asyncio.create_task(self._serve(webhook_id))
            self._busy[webhook_id] = task
            self._round_began[webhook_id] = asyncio.get_running_loop().time()
            task.add_done_callback(partial(self._done, webhook_id))
        self._metrics.busy.set(len(self._busy))

    def _room(self) -> int:
        """How many more webhooks may be served: those that keep us waiting count only at last."""
        before = asyncio.get_running_loop().time() - _PROMPT_SECONDS
        prompt = sum(began > before for began in self._round_began.values())
        return min(WEBHOOKS_AT_ONCE - prompt, WEBHOOKS_AT_MOST - len(self._busy))

    def _done(self, webhook_id: UUID, task: asyncio.Task[None]) -> None:
        self._busy.pop(webhook_id, None)
        self._round_began.pop(webhook_id, None)
        if not task.cancelled() and task.exception() is not None:
            log.error("delivery_failed", exc_info=task.exception())

    async def _serve(self, webhook_id: UUID) -> None:
        """Delivers to one webhook until nothing is due."""
        try:
            while True:
                self._round_began[webhook_id] = asyncio.get_running_loop().time()
                async with self._queue.read() as queue:
                    claims = await queue.claim(webhook_id, AT_ONCE, self._lease)
                if not claims:
                    return
                outcomes = await asyncio.gather(*map(partial(self._attempt, webhook_id), claims))
                await self._book(webhook_id, list(zip(claims, outcomes, strict=True)))
        except ServiceUnavailable:
            # What was claimed comes up again when its lease is over.
            log.warning("deliveries_put_off", webhook_id=str(webhook_id))

    async def _attempt(self, webhook_id: UUID, claim: Claim) -> Outcome:
        body = body_of(claim)
        try:
            secrets = self._secrets(webhook_id, claim)
        except CannotUnseal as error:
            # The operator may bring the key back, so the delivery keeps its schedule.
            log.error("webhook_secret_unreadable", reason=str(error))
            return Outcome(None, "The signing secret cannot be read.")
        headers = sign(secrets, str(claim.event_id), int(time.time()), body)
        return await self._sender.send(claim.url, headers, body)

    def _secrets(self, webhook_id: UUID, claim: Claim) -> list[bytes]:
        """What the attempt is signed with, the present secret first. Raises CannotUnseal."""
        stored = {
            WebhookSecret.PRESENT: claim.secret,
            WebhookSecret.PREVIOUS: claim.previous_secret,
        }
        return [
            self._keys.unseal(value, place_of(webhook_id, column))
            for column, value in stored.items()
            if value is not None
        ]

    async def _book(self, webhook_id: UUID, results: list[tuple[Claim, Outcome]]) -> None:
        good = [(claim, outcome) for claim, outcome in results if outcome.good]
        bad = [(claim, outcome) for claim, outcome in results if not outcome.good]
        async with self._queue.begin() as queue:
            if good:
                statuses = [outcome.status or 0 for _, outcome in good]
                await queue.delivered(webhook_id, [claim.id for claim, _ in good], statuses)
            for claim, outcome in bad:
                pause = self._pause(claim, outcome)
                await queue.failed(claim, outcome.status, outcome.error, pause)
                self._metrics.attempts.labels("dead" if pause is None else "retried").inc()
            if bad and not good:
                gone = any(outcome.status == 410 for _, outcome in bad)
                enabled = await queue.endpoint_failed(
                    webhook_id, gone=gone, give_up=give_up_after(self._scale)
                )
                if not enabled:
                    self._metrics.disabled.inc()
                    log.warning("webhook_disabled", webhook_id=str(webhook_id), gone=gone)
        now = utc_now()
        for claim, _ in good:
            self._metrics.attempts.labels("delivered").inc()
            self._metrics.lag.observe(max(0.0, (now - claim.created_at).total_seconds()))

    def _pause(self, claim: Claim, outcome: Outcome) -> float | None:
        if outcome.refused:
            return None
        return pause_seconds(claim.attempts, self._scale, outcome.retry_after)
