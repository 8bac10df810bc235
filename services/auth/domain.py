"""What auth knows: users, sessions, how long things last, and the ways in which it says no."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from shared.errors import Conflict, Forbidden, Unauthorized
from shared.identity import Role, Tier

# A dot-atom before the @ (RFC 5322 section 3.4.1), a host name of at least two labels after it
# (RFC 5321 section 4.1.2). ASCII only: a domain of another script is written in its xn-- form.
# The same text goes into the schema, so it keeps to what ECMA-262, Python and Rust read alike.
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_TOP_LABEL = r"[A-Za-z](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
EMAIL_PATTERN = rf"^(?=[^@]{{1,64}}@){_ATOM}(?:\.{_ATOM})*@(?:{_LABEL}\.)+{_TOP_LABEL}$"
MAX_EMAIL_LENGTH = 254  # RFC 5321 section 4.5.3.1.3, less the angle brackets

# No control characters, line separators or characters that turn the direction of what follows;
# no space at either end.
_NAME_CHARACTER = r"[^\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069{also}]"
_INSIDE, _EDGE = _NAME_CHARACTER.format(also=""), _NAME_CHARACTER.format(also=" ")
NAME_PATTERN = f"^{_EDGE}(?:{_INSIDE}*{_EDGE})?$"

_EMAIL = re.compile(EMAIL_PATTERN, re.ASCII)


def normal_email(text: str) -> str | None:
    """The one spelling of an address that identifies an account, or None when it is no address.

    Case makes no difference anywhere in it, although RFC 5321 would let it before the @.
    """
    if len(text) > MAX_EMAIL_LENGTH or not _EMAIL.fullmatch(text):
        return None
    return text.lower()


@dataclass(frozen=True, slots=True)
class User:
    """An account. `epoch` counts the changes that make earlier access tokens void."""

    id: UUID
    name: str
    email: str
    password_hash: str
    role: Role
    tier: Tier
    is_active: bool
    email_verified: bool
    mfa_enabled: bool
    epoch: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class NewUser:
    """What an account is made of; the rest has its default."""

    name: str
    email: str
    password_hash: str
    role: Role = Role.USER
    tier: Tier = Tier.DEFAULT


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a login came from, as its owner is shown it; neither is proof of anything."""

    device: str
    address: str


@dataclass(frozen=True, slots=True)
class OpenSession:
    """A session as its owner sees it."""

    id: UUID
    device: str
    address: str
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    current: bool


@dataclass(frozen=True, slots=True)
class Session:
    """One login. It ends by `expires_at`, by nobody refreshing it, or by being ended."""

    id: UUID
    user_id: UUID
    refresh_counter: int
    idle_expires_at: datetime
    expires_at: datetime
    ended_at: datetime | None

    def is_alive(self, now: datetime) -> bool:
        return self.ended_at is None and now < self.idle_expires_at and now < self.expires_at


@dataclass(frozen=True, slots=True)
class SessionOwner(User):
    """An account, and one of its sessions as its browser sees that."""

    session_id: UUID
    session_expires_at: datetime
    idle_expires_at: datetime

    @classmethod
    def of(cls, user: User, session: Session) -> SessionOwner:
        return cls(
            **{one.name: getattr(user, one.name) for one in fields(User)},
            session_id=session.id,
            session_expires_at=session.expires_at,
            idle_expires_at=session.idle_expires_at,
        )


class Ending(StrEnum):
    """Why a session was ended before its time."""

    LOGOUT = "logout"
    PASSWORD_CHANGE = "password_change"  # noqa: S105 - a reason, not a secret
    REFRESH_REUSE = "refresh_reuse"
    ACCOUNT_DISABLED = "account_disabled"
    ACCOUNT_DELETED = "account_deleted"
    ENDED_BY_OWNER = "ended_by_owner"
    REPLACED = "replaced"  # by another login of the same browser


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key without its secret. No scopes: all that its owner may do."""

    id: UUID
    user_id: UUID
    name: str
    last_four: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True)
class MadeApiKey(ApiKey):
    """A key with its secret, which nobody sees a second time."""

    key: str

    @classmethod
    def of(cls, stored: ApiKey, key: str) -> MadeApiKey:
        return cls(**{one.name: getattr(stored, one.name) for one in fields(ApiKey)}, key=key)


@dataclass(frozen=True, slots=True)
class Revocation:
    """One entry of the feed: the tokens of a session, or those of a user from before `epoch`,
    are void. `kind` is session or user, `subject` the id of the one or the other."""

    sequence: int
    kind: str
    subject: UUID
    epoch: int | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Deletion:
    """One entry of the feed of deleted accounts: whatever belongs to `user_id` is to go."""

    sequence: int
    user_id: UUID
    at: datetime


@dataclass(frozen=True, slots=True)
class SessionLife:
    """A session ends when it is not refreshed for `idle`, and `absolute` after the login."""

    idle: timedelta
    absolute: timedelta

    def idle_end(self, now: datetime, expires_at: datetime) -> datetime:
        """When a session that is used at `now` ends without further use."""
        return min(now + self.idle, expires_at)


@dataclass(frozen=True, slots=True)
class KeyLife:
    """A signing key is published `publish` before it signs, and kept `keep` after it has signed.

    It signs for `every`; without that a new one comes by command only.
    """

    publish: timedelta
    keep: timedelta
    every: timedelta | None

    @property
    def next_after(self) -> timedelta:
        """How long a key has signed when the one after it is published."""
        return max(timedelta(0), (self.every or timedelta(0)) - self.publish)


@dataclass(frozen=True, slots=True)
class LockoutPolicy:
    """Every `failures` wrong guesses in a row lock for `first`, twice as long each further time.

    Failures are forgotten `memory` after the last one, or after the end of the lock.
    """

    failures: int
    first: timedelta
    longest: timedelta
    memory: timedelta = timedelta(days=1)

    def lock_after(self, failures: int) -> timedelta | None:
        """How long the failure that makes the count `failures` locks, None when it does not."""
        times, rest = divmod(failures, self.failures)
        if rest or not times:
            return None
        # Once the longest is reached it stays, and the number stays small.
        doublings: int = min(2 ** min(times - 1, 32), self.longest // self.first + 1)
        return min(self.longest, self.first * doublings)


@dataclass(frozen=True, slots=True)
class SprayPolicy:
    """How many accounts may be failed at within `window`: from one address, and from all."""

    window: timedelta
    per_address: int
    everywhere: int


class EmailTaken(Conflict):
    """Registration with the address of an account that exists."""

    message = "This e-mail address is already registered"


class WrongCredentials(Unauthorized):
    """A login that names no account, or not its password; it does not say which."""

    message = "Wrong e-mail address or password"


class AccountDisabled(Forbidden):
    """A login with the right password to an account that is banned."""

    message = "This account is disabled"


class BadRefreshToken(Unauthorized):
    """A refresh token that is not ours, is used up, or whose session has ended."""

    message = "The refresh token is not valid"


class WrongCurrentPassword(Forbidden):
    """A password change that does not prove the current password.

    Not a 401: the access token is good, and clients answer a 401 by getting another one.
    """

    message = "The current password is wrong"


class NeedsLogin(Forbidden):
    """An API key where only a person who has logged in may act."""

    message = "This needs a login; an API key does not do"


class NeedsCookieSession(Forbidden):
    """What only a browser that is logged in by its cookie has a use for."""

    message = "This needs a session of /auth/session-login"


class TooManyApiKeys(Conflict):
    """One key more than an account may have."""

    message = "There are too many API keys"


class ExpiryInThePast(Conflict):
    """A key that would have expired before it was made."""

    message = "The API key would have expired already"


class LastAdministrator(Conflict):
    """A change that would leave nobody to administer the rest."""

    message = "The last active administrator stays"
