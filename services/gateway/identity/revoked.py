"""What has been revoked, so that a token is refused although it has not expired."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from uuid import UUID

from shared.errors import ServiceUnavailable
from shared.identity import Principal


@dataclass(frozen=True, slots=True)
class Revocation:
    """The tokens of a session, or of a user from before `epoch`, are void.

    `at` is epoch seconds. `subject` is the id of the session or of the user.
    """

    subject: UUID
    epoch: int | None
    at: float


class Revoked:
    """The revocations that still matter, and for how long their absence may be believed.

    Tokens are served until `stale_seconds` after auth was last heard of; then none is, because a
    revocation may have been missed. `followed` False is a gateway that follows no feed.
    """

    def __init__(
        self,
        *,
        followed: bool,
        stale_seconds: float = 300.0,
        kept_seconds: float = 7_200.0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sessions: set[str] = set()
        self._epochs: dict[UUID, int] = {}
        self._ages: deque[tuple[float, Revocation]] = deque()
        self._stale_seconds = stale_seconds
        self._kept_seconds = kept_seconds
        self._now = now
        self._heard_at = -math.inf if followed else math.inf

    def __len__(self) -> int:
        return len(self._sessions) + len(self._epochs)

    @property
    def age_seconds(self) -> float:
        """Since auth was last heard of; infinite before the first time."""
        return max(0.0, self._now() - self._heard_at)

    def spares(self, principal: Principal) -> bool:
        """Whether the principal's token is known not to be void."""
        if self._now() - self._heard_at > self._stale_seconds:
            return False
        if self._epochs:
            return not self.covers(principal)
        return principal.session_id not in self._sessions

    def check(self) -> None:
        """Raises ServiceUnavailable when nobody can tell what has been revoked."""
        if self._now() - self._heard_at > self._stale_seconds:
            raise ServiceUnavailable("Identity cannot be verified right now")

    def covers(self, principal: Principal) -> bool:
        """Whether the principal's token is void."""
        if principal.session_id in self._sessions:
            return True
        epoch = self._epochs.get(principal.user_id)
        return epoch is not None and principal.epoch < epoch

    def take(self, revocations: Iterable[Revocation]) -> None:
        """All that auth had to tell up to this moment, after what was learnt before."""
        self.learn(revocations)
        self._heard_at = self._now()

    def learn(self, revocations: Iterable[Revocation]) -> None:
        """Some of what auth has to tell; what no longer matters is forgotten."""
        now = self._now()
        for one in revocations:
            if one.epoch is None:
                self._sessions.add(str(one.subject))
            else:
                self._epochs[one.subject] = max(one.epoch, self._epochs.get(one.subject, 0))
            self._ages.append((now + self._kept_seconds, one))
        while self._ages and self._ages[0][0] <= now:
            self._forget(self._ages.popleft()[1])

    def clear(self) -> None:
        """Forgets everything: the feed begins anew."""
        self._sessions.clear()
        self._epochs.clear()
        self._ages.clear()

    def _forget(self, one: Revocation) -> None:
        if one.epoch is None:
            self._sessions.discard(str(one.subject))
        elif self._epochs.get(one.subject) == one.epoch:
            del self._epochs[one.subject]
