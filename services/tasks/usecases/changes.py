"""The change feed as its owner follows it."""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

from services.tasks.domain import FeedExpired, FeedForeign
from services.tasks.repository.feed import FeedRepository, RecordedChange
from shared.database import Store

Feed = Store[FeedRepository]


class FeedPage(NamedTuple):
    """Some changes in their order; `next` is the token of what follows them."""

    changes: list[RecordedChange]
    next: str
    has_more: bool


async def read_changes(
    feed: Feed, owner_id: UUID, *, since: tuple[str, int] | None, limit: int
) -> FeedPage:
    """The changes after the token `since`, without a gap; from the first one on without a token.

    Raises FeedForeign for a token of somebody else's feed, and FeedExpired when some of the changes
    are not kept any longer, or never were in this feed.
    """
    mark = owner_mark(owner_id)
    after = 0 if since is None else since[1]
    async with feed.read() as repository:
        latest, changes = await repository.read(owner_id, after, limit + 1)
    if since is not None and since[0] != mark:
        raise FeedForeign(f"{mark}-{latest}")
    follows = changes[0].sequence == after + 1 if changes else after == latest
    if not follows:
        raise FeedExpired(f"{mark}-{latest}")
    page = changes[:limit]
    reached = page[-1].sequence if page else after
    return FeedPage(page, f"{mark}-{reached}", len(changes) > limit)


def owner_mark(owner_id: UUID) -> str:
    """What tokens of this owner begin with, so that one of another owner is noticed."""
    return owner_id.hex[-8:]
