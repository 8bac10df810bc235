"""Doing a thing once, however often it is asked for under one key."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import NamedTuple

from services.tasks.domain import RequestInFlight
from services.tasks.repository.answers import AnswerRepository, KeptAnswer, KeyName
from shared.clock import utc_now
from shared.database import Store
from shared.errors import IdempotencyMismatch

KEPT = timedelta(hours=24)

Answers = Store[AnswerRepository]


class Outcome(NamedTuple):
    """An answer, and whether it was given before."""

    answer: KeptAnswer
    replayed: bool


async def once(
    answers: Answers,
    name: KeyName,
    fingerprint: bytes,
    work: Callable[[], Awaitable[KeptAnswer]],
) -> Outcome:
    """Runs `work` and keeps its answer in the very transaction that `work` writes in.

    A second call under the same name gets that answer. Raises RequestInFlight while the first one
    runs, and IdempotencyMismatch when it was about something else. When `work` raises, nothing is
    kept and nothing is written.
    """
    async with answers.joined() as repository:
        if not await repository.try_lock(name):
            raise RequestInFlight
        now = utc_now()
        kept = await repository.find(name, now - KEPT)
        if kept is not None:
            if kept.fingerprint != fingerprint:
                raise IdempotencyMismatch
            return Outcome(kept, replayed=True)
        answer = await work()
        await repository.keep(name, answer, now)
    return Outcome(answer, replayed=False)
