"""The feed of deleted accounts, as one page after another."""

from __future__ import annotations

from dataclasses import dataclass

from services.auth.domain import Deletion
from services.auth.repository import AuthStore

PAGE = 500


@dataclass(frozen=True, slots=True)
class DeletionPage:
    """What follows `after`. `reset` says that the reader knew more than there is, as after the
    restoring of a backup: it takes the feed from the beginning."""

    deletions: list[Deletion]
    next: int
    more: bool
    reset: bool

    @property
    def has_news(self) -> bool:
        return bool(self.deletions) or self.reset


async def read_deletions(store: AuthStore, *, after: int) -> DeletionPage:
    """The page after the number `after`. Raises ServiceUnavailable."""
    async with store.read() as repository:
        reset = after > await repository.deletions.head()
        start = 0 if reset else after
        found = await repository.deletions.after(start, PAGE)
    return DeletionPage(
        deletions=found,
        next=found[-1].sequence if found else start,
        more=len(found) == PAGE,
        reset=reset,
    )
