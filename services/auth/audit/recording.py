"""Writing to the audit log: in the transaction of what it tells of, so both happen or neither."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

import orjson

from services.auth.audit.chain import origin_hash
from services.auth.audit.event import AuditEvent, AuditRecord, Outcome
from services.auth.provenance import INTERNAL, current_origin
from services.auth.repository import AuthRepository, AuthStore
from shared.ids import uuid7
from shared.request_id import current_request_id

LONGEST_TEXT = 200  # characters of any one value
SALT_BYTES = 16
Detail = str | int | None


async def record(
    repository: AuthRepository,
    event: AuditEvent,
    now: datetime,
    *,
    outcome: Outcome = Outcome.SUCCESS,
    user_id: UUID | None = None,
    actor_id: UUID | None = None,
    subject: bytes | None = None,
    details: Mapping[str, Detail] | None = None,
) -> None:
    """Appends one event; address, device and request id are those of the request in hand.

    No detail may be a secret: an address of nobody's account goes in as `subject`, a keyed hash.
    Raises ServiceUnavailable, which undoes what the event would have told of.
    """
    origin = current_origin.get() or INTERNAL
    address, device = clean(origin.address), clean(origin.device)
    salt = secrets.token_bytes(SALT_BYTES)
    shown = {
        name: clean(value) if isinstance(value, str) else value
        for name, value in (details or {}).items()
        if value is not None
    }
    await repository.audit.append(
        AuditRecord(
            id=uuid7(),
            at=now,
            event=event.value,
            outcome=outcome.value,
            actor_id=actor_id,
            user_id=user_id,
            subject=subject,
            address=address,
            device=device,
            origin_salt=salt,
            origin_hash=origin_hash(salt, address, device),
            request_id=clean(current_request_id.get() or ""),
            details=orjson.dumps(shown, option=orjson.OPT_SORT_KEYS).decode(),
        )
    )


async def record_refusal(
    store: AuthStore,
    event: AuditEvent,
    now: datetime,
    *,
    reason: str,
    user_id: UUID | None = None,
    subject: bytes | None = None,
) -> None:
    """Appends a failure that changed nothing else, in a unit of work of its own.

    Raises ServiceUnavailable, which is then the answer: nobody is refused without a trace.
    """
    async with store.read() as repository:
        await record(
            repository,
            event,
            now,
            outcome=Outcome.FAILURE,
            user_id=user_id,
            subject=subject,
            details={"reason": reason},
        )


def clean(text: str) -> str:
    """`text` without what could break a line or hide in one, and no longer than allowed."""
    return "".join(one for one in text if one.isprintable())[:LONGEST_TEXT]


class Sampled:
    """Lets one of many alike through every `seconds`, with the number that it stands for.

    What anybody can cause at will must not fill the log.
    """

    def __init__(self, seconds: float = 1.0) -> None:
        self._seconds = seconds
        self._passed_at: datetime | None = None
        self._held = 0

    def take(self, now: datetime) -> int | None:
        """How many this one stands for, None when it is held back."""
        self._held += 1
        last = self._passed_at
        if last is not None and 0 <= (now - last).total_seconds() < self._seconds:
            return None
        self._passed_at, held, self._held = now, self._held, 0
        return held
