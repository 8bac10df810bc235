"""What the audit log tells of, and the form in which it keeps it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class AuditEvent(StrEnum):
    """What happened. The names are part of the API: clients filter by them."""

    REGISTERED = "registration"
    LOGIN = "login"
    ADDRESS_LOCKED = "login.locked"
    LOGOUT = "logout"
    SESSION_ENDED = "session.ended"
    REFRESH_REFUSED = "session.refresh_refused"
    REFRESH_REUSED = "session.refresh_reused"
    PASSWORD_CHANGED = "password.changed"  # noqa: S105 - a name, not a secret
    API_KEY_MADE = "api_key.made"
    API_KEY_FIRST_USED = "api_key.first_used"
    API_KEY_ROTATED = "api_key.rotated"
    API_KEY_REVOKED = "api_key.revoked"
    API_KEY_REFUSED = "api_key.refused"
    USER_CREATED = "user.created"
    USER_RENAMED = "user.renamed"
    USER_ROLE_CHANGED = "user.role_changed"
    USER_TIER_CHANGED = "user.tier_changed"
    USER_BANNED = "user.banned"
    USER_UNBANNED = "user.unbanned"
    USER_UNLOCKED = "user.unlocked"
    USER_DELETED = "user.deleted"
    SIGNING_KEY_PUBLISHED = "signing_key.published"
    SIGNING_KEY_ACTIVE = "signing_key.active"
    SIGNING_KEY_RETIRED = "signing_key.retired"
    SIGNING_KEY_DROPPED = "signing_key.dropped"
    KEYS_RESEALED = "keys.resealed"
    AUDIT_PURGED = "audit.purged"


class Outcome(StrEnum):
    SUCCESS = "success"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One row of the log.

    `user_id` is the account that it is about and `actor_id` who acted, when they are known;
    `subject` is the keyed hash of an address that somebody tried. `details` is a JSON object.
    `address`, `device` and `origin_salt` are None once they have been erased. `sequence` and `hash`
    are None until the row is linked.
    """

    id: UUID
    at: datetime
    event: str
    outcome: str
    actor_id: UUID | None
    user_id: UUID | None
    subject: bytes | None
    address: str | None
    device: str | None
    origin_salt: bytes | None
    origin_hash: bytes
    request_id: str
    details: str
    sequence: int | None = None
    hash: bytes | None = None


@dataclass(frozen=True, slots=True)
class ChainHead:
    """Where the chain ends: how many rows have ever been linked, and the hash of the last.

    The rows up to `purged_until` have been removed, or are being removed.
    """

    sequence: int
    hash: bytes
    purged_until: int


@dataclass(frozen=True, slots=True)
class StoredSeal:
    """A seal as it is kept: a signed token over the hash of the row `sequence`."""

    sequence: int
    token: str
    at: datetime
