"""Whether the audit log is what was written: every link and seal, and nothing missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import orjson

from services.auth.audit.anchor import Anchor
from services.auth.audit.chain import GENESIS, BadSeal, Seal, origin_hash, read_seal
from services.auth.audit.event import AuditEvent, AuditRecord, ChainHead, StoredSeal
from services.auth.repository import AuthRepository, AuthStore
from services.auth.usecases.audit_chain import ChainBroken, check_links

PAGE = 1_000


@dataclass(slots=True)
class Report:
    """What was checked; `problem` is the first thing that is wrong, None when nothing is."""

    first: int = 0
    last: int = 0
    last_hash: bytes = GENESIS
    rows: int = 0
    seals: int = 0
    sealed_until: int = 0
    sealed_at: datetime | None = None
    erased: int = 0
    waiting: int = 0
    purged_until: int = 0
    anchors: list[Anchor] = field(default_factory=list)
    problem: str | None = None


async def verify_audit(
    store: AuthStore,
    now: datetime,
    *,
    kept: timedelta,
    anchors: Sequence[Anchor] = (),
) -> Report:
    """Checks the log from its beginning, or from the seal that it was purged up to.

    A purge may only have taken what is older than `kept`. Raises ServiceUnavailable.
    """
    report = Report(anchors=list(anchors))
    async with store.snapshot() as repository:
        try:
            await _verify(repository, report, now, kept)
        except (ChainBroken, BadSeal) as error:
            report.problem = str(error)
    return report


async def _verify(
    repository: AuthRepository, report: Report, now: datetime, kept: timedelta
) -> None:
    keys = await repository.audit.seal_keys()
    head = await repository.audit.head()
    report.purged_until = head.purged_until
    previous = await _beginning(repository, keys, head, now, kept)
    report.first, after, purges = head.purged_until + 1, head.purged_until, 0
    while True:
        rows = await repository.audit.linked_after(after, PAGE)
        previous = check_links(previous, after, rows)
        if rows:
            await _check_origins(repository, report, rows)
            await _check_seals(repository, keys, report, rows)
            _check_anchors(report, rows)
            purges = max([purges, *map(_purged, rows)])
            after += len(rows)
            report.rows, report.last, report.last_hash = report.rows + len(rows), after, previous
        if len(rows) < PAGE:
            break
    waiting = await repository.audit.unlinked(PAGE)
    report.waiting = len(waiting)
    await _check_end(repository, report, head, previous, after)
    if head.purged_until != max([purges, *map(_purged, waiting)]):
        raise ChainBroken(f"No event tells that the rows up to {head.purged_until} were purged.")


async def _beginning(
    repository: AuthRepository,
    keys: dict[str, bytes],
    head: ChainHead,
    now: datetime,
    kept: timedelta,
) -> bytes:
    """The hash that the first row to check follows upon. Raises ChainBroken and BadSeal."""
    if not head.purged_until:
        return GENESIS
    found = await repository.audit.seals_from(head.purged_until, 1)
    if not found or found[0].sequence != head.purged_until:
        raise ChainBroken(f"The seal of row {head.purged_until}, up to which was purged, is gone.")
    seal = _good(found[0], keys)
    if seal.at > now - kept:
        raise ChainBroken(
            f"Rows up to {seal.sequence} are gone, which were sealed at {seal.at.isoformat()}, "
            f"and {kept.days} days are to be kept."
        )
    return seal.hash


async def _check_seals(
    repository: AuthRepository,
    keys: dict[str, bytes],
    report: Report,
    rows: Sequence[AuditRecord],
) -> None:
    by_sequence = {row.sequence: row for row in rows}
    first, last = rows[0].sequence, rows[-1].sequence
    assert first is not None
    assert last is not None
    for stored in await repository.audit.seals_from(first, PAGE):
        if stored.sequence > last:
            break
        seal = _good(stored, keys)
        if by_sequence[stored.sequence].hash != seal.hash:
            raise ChainBroken(f"Row {stored.sequence} is not the one that was sealed.")
        report.seals += 1
        report.sealed_until, report.sealed_at = seal.sequence, seal.at


async def _check_end(
    repository: AuthRepository, report: Report, head: ChainHead, previous: bytes, last: int
) -> None:
    """Raises ChainBroken when the chain goes on beyond the last row that is there."""
    beyond = await repository.audit.seals_from(last + 1, 1)
    if beyond:
        raise ChainBroken(f"Row {last + 1} is missing: row {beyond[0].sequence} was sealed.")
    if (head.sequence, head.hash) != (last, previous):
        raise ChainBroken(f"Row {last + 1} is missing: {head.sequence} were linked.")
    for anchor in report.anchors:
        if anchor.sequence > last:
            raise ChainBroken(f"Row {last + 1} is missing: the anchor is row {anchor.sequence}.")


def _check_anchors(report: Report, rows: Sequence[AuditRecord]) -> None:
    for anchor in report.anchors:
        for row in rows:
            if row.sequence == anchor.sequence and row.hash != anchor.hash:
                raise ChainBroken(f"Row {anchor.sequence} is not the one of the anchor.")


async def _check_origins(
    repository: AuthRepository, report: Report, rows: Sequence[AuditRecord]
) -> None:
    """Address and device are those that were written, or erased with the account."""
    erased = [row for row in rows if row.origin_salt is None]
    owners = {row.id: row.actor_id or row.user_id for row in erased}
    gone = await repository.deletions.among([one for one in owners.values() if one is not None])
    report.erased += len(erased)
    for row in rows:
        if row.origin_salt is None:
            if owners[row.id] not in gone or row.address is not None or row.device is not None:
                raise ChainBroken(f"Address and device of row {row.sequence} were taken away.")
        elif row.origin_hash != origin_hash(row.origin_salt, row.address or "", row.device or ""):
            raise ChainBroken(f"Address or device of row {row.sequence} was changed.")


def _good(stored: StoredSeal, keys: dict[str, bytes]) -> Seal:
    """Raises BadSeal, naming the row."""
    try:
        seal = read_seal(stored.token, keys)
        if seal.sequence != stored.sequence:
            raise BadSeal("it is that of another row")
    except BadSeal as error:
        raise BadSeal(f"The seal of row {stored.sequence} is not good: {error}.") from error
    return seal


def _purged(row: AuditRecord) -> int:
    if row.event != AuditEvent.AUDIT_PURGED:
        return 0
    return int(orjson.loads(row.details)["until"])
