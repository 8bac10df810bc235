"""Wrong guesses in a row lock what is guessed at, whether or not it exists."""

from __future__ import annotations

import hmac
import math
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from services.auth.domain import LockoutPolicy, User
from services.auth.keys import KeyRing, Seal
from services.auth.repository import AuthRepository


class Guess(StrEnum):
    """What is guessed at; each has its own counter, and so a budget of its own."""

    LOGIN = "login"
    DEVICE = "device"  # the same from one known device
    CURRENT_PASSWORD = "current_password"  # noqa: S105 - a purpose, not a secret


@dataclass(frozen=True, slots=True)
class Counted:
    """What a wrong guess led to. `refused_for` is how many seconds it was too late by already."""

    refused_for: int | None = None
    locks_for: int | None = None


class Lockout:
    """Counts wrong guesses exactly, however many arrive at once.

    The verdict on a guess is given only after it has been settled here, in the transaction that
    counts it: of a hundred parallel guesses five get one, and the others learn nothing, not even
    that they were right. Settling last instead of paying in advance lets a person log in from
    many places at once.
    """

    def __init__(self, keys: KeyRing, policy: LockoutPolicy) -> None:
        self._keys = keys
        self._policy = policy

    def subject(self, guess: Guess, identifier: str) -> bytes:
        """The counter's name: a keyed hash, so the table is no list of addresses."""
        key = self._keys.sealing(Seal.GUESS_SUBJECTS)
        return hmac.digest(key, f"{guess.value}\0{identifier}".encode(), "sha256")

    def source(self, network: str) -> bytes:
        """The name under which failures of an address are noted, keyed as `subject` is."""
        key = self._keys.sealing(Seal.GUESS_SUBJECTS)
        return hmac.digest(key, f"source\0{network}".encode(), "sha256")

    async def seconds_left(self, repository: AuthRepository, subject: bytes) -> int | None:
        """How long `subject` stays locked, None when it is not: asked before the costly check."""
        return whole_seconds(await repository.guesses.locked_for(subject))

    async def settle_wrong(self, repository: AuthRepository, subject: bytes) -> Counted:
        """Counts a wrong guess, and locks when it is one too many."""
        # The same first step as for a right guess: a lock that came first answers both alike.
        left = await repository.guesses.hold(subject)
        if left is not None:
            return Counted(refused_for=whole_seconds(left))
        policy = self._policy
        failures = await repository.guesses.count(subject, policy.memory)
        if failures is None:
            # There was nothing to hold yet, and others made and locked it meanwhile.
            left = await repository.guesses.locked_for(subject)
            return Counted(refused_for=whole_seconds(left) or 1)
        lock = policy.lock_after(failures)
        if lock is None:
            return Counted()
        await repository.guesses.lock(subject, lock, policy.memory)
        return Counted(locks_for=whole_seconds(lock))

    async def settle_right(self, repository: AuthRepository, subject: bytes) -> int | None:
        """Forgets the failures; seconds of a lock that came first and makes the guess void."""
        left = await repository.guesses.hold(subject)
        if left is None:
            await repository.guesses.forget(subject)
        return whole_seconds(left)

    async def release(self, repository: AuthRepository, user: User) -> None:
        """Forgets every failure of an account, and with them its locks."""
        for guess, identifier in (
            (Guess.LOGIN, user.email),
            (Guess.CURRENT_PASSWORD, str(user.id)),
        ):
            await repository.guesses.forget(self.subject(guess, identifier))


def whole_seconds(left: timedelta | None) -> int | None:
    """What a client is told to wait."""
    return None if left is None else max(1, math.ceil(left.total_seconds()))
