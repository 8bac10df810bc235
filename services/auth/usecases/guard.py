"""What stands before a password: locks by account, device cookies, limits on spraying."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from services.auth.devices import Devices
from services.auth.domain import Origin, SprayPolicy, WrongCredentials
from services.auth.events import AuthEvents, Scope
from services.auth.repository import AuthRepository
from services.auth.usecases.lockout import Guess, Lockout, whole_seconds
from shared.client_address import counted_address
from shared.errors import AccountLocked, ApiError, RateLimited

_EVERYWHERE = "everywhere"  # in place of an address


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A login that somebody tries; `email` is a normal address."""

    email: str
    password: str
    origin: Origin
    device_cookie: str | None = None


@dataclass(frozen=True, slots=True)
class Watched:
    """What a login is counted by. `source` is None for a device that the account knows."""

    subject: bytes
    source: bytes | None


@dataclass(frozen=True, slots=True)
class Settled:
    """What a wrong guess led to: the refusal to raise, and the seconds of the lock that it set."""

    refusal: ApiError
    locks_for: int | None = None


class LoginGuard:
    """Says no before the costly check, and settles each verdict after it.

    A login from a known device is counted by that device alone. Any other is counted by its
    account, and by its address and everywhere as one more account that was failed at. None of it
    depends on whether the account exists.
    """

    def __init__(
        self, lockout: Lockout, devices: Devices, policy: SprayPolicy, events: AuthEvents
    ) -> None:
        self._lockout = lockout
        self._devices = devices
        self._policy = policy
        self._events = events

    def watch(self, attempt: Attempt, now: datetime) -> Watched:
        """Whose counters this attempt concerns. Raises ServiceUnavailable without the keys."""
        device = self._devices.recognise(attempt.device_cookie, attempt.email, now)
        if device is not None:
            name = f"{attempt.email}\0{device}"
            return Watched(self._lockout.subject(Guess.DEVICE, name), None)
        return Watched(
            self._lockout.subject(Guess.LOGIN, attempt.email),
            self._lockout.source(counted_address(attempt.origin.address)),
        )

    async def refuse_early(self, repository: AuthRepository, watched: Watched) -> ApiError | None:
        """RateLimited or AccountLocked when it is no use to try; asked before the costly check."""
        refusal = await self._spent(repository, watched)
        if refusal is not None:
            return refusal
        left = await self._lockout.seconds_left(repository, watched.subject)
        return None if left is None else self._locked(watched, left)

    async def settle_wrong(self, repository: AuthRepository, watched: Watched) -> Settled:
        """Counts a wrong guess. What it led to holds once the transaction has committed."""
        if watched.source is not None:
            # One at a time from one address, so that no more than the budget get a verdict.
            await repository.failed_entries.hold(watched.source)
            refusal = await self._spent(repository, watched)
            if refusal is not None:
                return Settled(refusal)
            sources = [watched.source, self._lockout.source(_EVERYWHERE)]
            window = self._policy.window
            await repository.failed_entries.add(sources, watched.subject, window)
        counted = await self._lockout.settle_wrong(repository, watched.subject)
        if counted.refused_for is not None:
            return Settled(self._locked(watched, counted.refused_for))
        return Settled(WrongCredentials(), counted.locks_for)

    def tell(self, watched: Watched, settled: Settled) -> None:
        """Counts and logs a verdict of "wrong" that has committed."""
        if settled.locks_for is not None:
            self._events.locked(watched.subject, seconds=settled.locks_for)
        if isinstance(settled.refusal, WrongCredentials):
            self._events.login("wrong", watched.subject)

    async def settle_right(self, repository: AuthRepository, watched: Watched) -> None:
        """Forgets the failures. Raises RateLimited and AccountLocked: who came too late is not
        told that he was right.
        """
        refusal = await self._spent(repository, watched)
        if refusal is None:
            left = await self._lockout.settle_right(repository, watched.subject)
            refusal = None if left is None else self._locked(watched, left)
        if refusal is not None:
            raise refusal

    def _locked(self, watched: Watched, seconds: int) -> ApiError:
        self._events.login("locked", watched.subject)
        return AccountLocked(seconds)

    async def _spent(self, repository: AuthRepository, watched: Watched) -> ApiError | None:
        """The refusal when a budget for accounts to fail at is spent."""
        if watched.source is None:
            return None
        budgets: tuple[tuple[Scope, bytes, int], ...] = (
            ("address", watched.source, self._policy.per_address),
            ("everywhere", self._lockout.source(_EVERYWHERE), self._policy.everywhere),
        )
        for scope, source, limit in budgets:
            left = whole_seconds(await repository.failed_entries.full_for(source, limit))
            if left is not None:
                self._events.limited(scope)
                self._events.login("limited", watched.subject)
                return RateLimited(left)
        return None
