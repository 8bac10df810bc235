"""`python -m services.auth audit …`: the log checked and exported beside the service."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import timedelta
from typing import TypeVar

from prometheus_client import CollectorRegistry

from services.auth.app import open_database
from services.auth.audit.anchor import Anchor
from services.auth.audit.event import AuditRecord
from services.auth.repository import AuthStore
from services.auth.settings import Settings
from services.auth.usecases.audit_verification import PAGE, Report, verify_audit
from shared.clock import utc_now
from shared.errors import ApiError
from shared.json_text import dump_anything
from shared.process import StartRefused, refuse

T = TypeVar("T")


def verify(settings: Settings, *, days: float | None, anchors: list[Anchor]) -> int:
    """Checks the whole log and prints what was checked; 0 when all is well, else 1."""
    kept = settings.audit_kept if days is None else timedelta(days=days)

    async def check(store: AuthStore) -> Report:
        return await verify_audit(store, utc_now(), kept=kept, anchors=anchors)

    report = _with_store(settings, check)
    _print(report)
    if report.problem is not None:
        print(f"BROKEN: {report.problem}")
        return 1
    print("the audit log is intact")
    return 0


def export(settings: Settings) -> int:
    """Prints the log as JSON lines in the order of the chain, then its seals and their keys."""

    async def write(store: AuthStore) -> None:
        async with store.snapshot() as repository:
            after, sealed = 0, 0
            while rows := await repository.audit.linked_after(after, PAGE):
                for row in rows:
                    _line("event", _exported(row))
                after = rows[-1].sequence or after
            while seals := await repository.audit.seals_from(sealed, PAGE):
                for seal in seals:
                    _line("seal", asdict(seal))
                sealed = seals[-1].sequence + 1
            for kid, key in (await repository.audit.seal_keys()).items():
                _line("key", {"kid": kid, "public_key": key.hex()})

    _with_store(settings, write)
    return 0


def _with_store(settings: Settings, work: Callable[[AuthStore], Awaitable[T]]) -> T:
    async def run() -> T:
        async with open_database(settings, CollectorRegistry()) as store:
            return await work(store)

    try:
        return asyncio.run(run())
    except (StartRefused, ApiError) as error:
        refuse("auth audit", str(error))


def _print(report: Report) -> None:
    if report.purged_until:
        print(f"rows up to {report.purged_until} were purged after their time")
    if report.rows:
        print(f"checked {report.rows} events, {report.first} to {report.last}")
        print(f"last event  {report.last}:{report.last_hash.hex()}")
    else:
        print("checked 0 events")
    until = f", the last of event {report.sealed_until} at {report.sealed_at}"
    print(f"checked {report.seals} seals{until if report.seals else ''}")
    print(f"not linked yet: {report.waiting}; origins erased with their accounts: {report.erased}")


def _exported(row: AuditRecord) -> dict[str, object]:
    return {
        name: value.hex() if isinstance(value, bytes) else value
        for name, value in asdict(row).items()
    }


def _line(kind: str, content: dict[str, object]) -> None:
    sys.stdout.buffer.write(dump_anything({"kind": kind, **content}) + b"\n")
