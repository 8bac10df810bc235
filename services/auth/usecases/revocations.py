"""The feed of revocations, as one page after another."""

from __future__ import annotations

from dataclasses import dataclass

from services.auth.domain import Revocation
from services.auth.repository import AuthStore

PAGE = 1_000


@dataclass(frozen=True, slots=True)
class RevocationPage:
    """What follows `after`. `reset` says that the reader knew more than there is, as after the

    restoring of a backup: it forgets everything and takes the feed from the beginning.
    """

    revocations: list[Revocation]
    next: int
    more: bool
    reset: bool

    @property
    def has_news(self) -> bool:
        return bool(self.revocations) or self.reset


async def read_revocations(store: AuthStore, *, after: int) -> RevocationPage:
    """The page after the number `after`. Raises ServiceUnavailable."""
    async with store.read() as repository:
        reset = after > await repository.revocations.head()
        start = 0 if reset else after
        found = await repository.revocations.after(start, PAGE)
    return RevocationPage(
        revocations=found,
        next=found[-1].sequence if found else start,
        more=len(found) == PAGE,
        reset=reset,
    )
