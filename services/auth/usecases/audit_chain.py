"""Linking the rows of the audit log into its chain, and sealing the chain.

Whoever writes a row does not wait for the chain: a row is linked a moment after its commit, by
whichever replica comes first.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from services.auth.audit.chain import (
    GENESIS,
    BadSeal,
    link_hash,
    make_seal,
    public_der,
    read_seal,
)
from services.auth.audit.event import AuditRecord, ChainHead, StoredSeal
from services.auth.keys import SigningKey
from services.auth.repository import AuthRepository, AuthStore

BATCH = 500
MOST_SEALED = 5_000  # rows by one seal; the next one goes on


class ChainBroken(Exception):
    """Rows are not as they were linked; the text names the first."""


async def link_some(store: AuthStore) -> list[AuditRecord]:
    """Links a batch of rows, the earliest first; returns which, none while another replica does.

    Raises ServiceUnavailable.
    """
    async with store.begin() as repository:
        head = await repository.audit.take_head()
        waiting = await repository.audit.unlinked(BATCH) if head is not None else []
        if head is None or not waiting:
            return []
        links, previous = [], head.hash
        for sequence, row in enumerate(waiting, head.sequence + 1):
            previous = link_hash(previous, sequence, row)
            links.append((row.id, sequence, previous))
        await repository.audit.link(links)
    return waiting


async def seal(
    store: AuthStore, key: SigningKey, now: datetime, *, every: timedelta
) -> StoredSeal | None:
    """Signs where the chain has come to, when the last seal is older than `every`.

    What the seal covers is checked first, so nothing that was changed since the last seal gets a
    signature. Raises ChainBroken and ServiceUnavailable.
    """
    async with store.begin() as repository:
        head = await repository.audit.take_head()
        if head is None:
            return None
        last = await repository.audit.last_seal()
        after, previous = 0, GENESIS
        if last is not None:
            if head.sequence == last.sequence or now - last.at < every:
                return None
            after, previous = await _sealed(repository, last)
        row = await _checked(repository, after, previous, head)
        if row is None or row.sequence is None or row.hash is None:
            return None
        made = StoredSeal(row.sequence, make_seal(key, row.sequence, row.hash, now), now)
        await repository.audit.add_seal(made, key.kid, public_der(key))
    return made


async def _sealed(repository: AuthRepository, last: StoredSeal) -> tuple[int, bytes]:
    """Sequence and hash of the row that the last seal is of. Raises ChainBroken."""
    try:
        found = read_seal(last.token, await repository.audit.seal_keys())
    except BadSeal as error:
        raise ChainBroken(f"The seal of row {last.sequence} is not good: {error}.") from error
    return found.sequence, found.hash


async def _checked(
    repository: AuthRepository, after: int, previous: bytes, head: ChainHead
) -> AuditRecord | None:
    """The last of at most MOST_SEALED rows that follow, all good. Raises ChainBroken."""
    last, end = None, min(after + MOST_SEALED, head.sequence)
    while after < end:
        rows = await repository.audit.linked_after(after, min(BATCH, end - after))
        previous = check_links(previous, after, rows)
        if not rows:
            raise ChainBroken(f"Row {after + 1} is missing: {head.sequence} were linked.")
        last, after = rows[-1], after + len(rows)
    return last


def check_links(previous: bytes, after: int, rows: Sequence[AuditRecord]) -> bytes:
    """The hash of the last row, when all follow upon `after` and each other.

    Raises ChainBroken naming the first that does not.
    """
    for expected, row in enumerate(rows, after + 1):
        if row.sequence != expected:
            before = (row.sequence or 0) - 1
            if before > expected:
                raise ChainBroken(f"Rows {expected} to {before} are missing.")
            raise ChainBroken(f"Row {expected} is missing.")
        if row.hash != link_hash(previous, expected, row):
            raise ChainBroken(
                f"Row {expected} ({row.id}, {row.event}) is not what was linked there: it, or its "
                "place, was changed."
            )
        previous = row.hash
    return previous
