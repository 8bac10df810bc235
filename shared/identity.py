"""Who is calling and what he may do: the contract between auth, the gateway and the services."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Protocol
from uuid import UUID

import jwt

from shared.clock import time_not_going_back
from shared.errors import InvalidToken

ALGORITHM = "RS256"
TOKEN_TYPE = "at+jwt"  # noqa: S105 - the media type of RFC 9068 section 2.1
REQUIRED_CLAIMS = (
    "iss", "aud", "sub", "client_id", "sid", "jti", "iat", "exp", "role", "tier", "scope", "epoch",
)  # fmt: skip
MAX_TOKEN_LENGTH = 4096
CLOCK_LEEWAY_SECONDS = 10

# PyJWT takes tokens with padding and stray characters; a token has exactly one spelling here.
_COMPACT_FORM = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


class Role(StrEnum):
    ADMIN = "admin"
    MODERATOR = "moderator"
    USER = "user"
    READONLY = "readonly"


class Tier(StrEnum):
    """Rate-limit classes; `anonymous` is that of a request without identity."""

    ANONYMOUS = "anonymous"
    DEFAULT = "default"
    PREMIUM = "premium"
    ADMIN = "admin"


class Permission(StrEnum):
    TASKS_READ = "tasks:read"
    TASKS_WRITE = "tasks:write"
    TASKS_OF_OTHERS = "tasks:others"
    PROFILE = "profile"
    USERS_READ = "users:read"
    USERS_BAN = "users:ban"
    USERS_WRITE = "users:write"
    AUDIT_READ = "audit:read"


_READONLY = frozenset({Permission.TASKS_READ, Permission.PROFILE})
_USER = _READONLY | {Permission.TASKS_WRITE}
_MODERATOR = _USER | {Permission.USERS_READ, Permission.USERS_BAN}

# The one permission table. What is not in it is denied.
PERMISSIONS: Mapping[Role, frozenset[Permission]] = MappingProxyType(
    {
        Role.READONLY: _READONLY,
        Role.USER: _USER,
        Role.MODERATOR: _MODERATOR,
        Role.ADMIN: frozenset(Permission),
    }
)


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller whose access token has been verified. `expires_at` is epoch seconds."""

    user_id: UUID
    role: Role
    tier: Tier
    session_id: str
    token_id: str
    scope: frozenset[str]
    epoch: int
    expires_at: int

    def may(self, permission: Permission) -> bool:
        """Whether both the role and the token's scope (empty: the whole role) grant it."""
        if permission not in PERMISSIONS[self.role]:
            return False
        return not self.scope or permission.value in self.scope


class KeySource(Protocol):
    """Where verification keys come from; `shared.jwks.JwksCache` is the real one."""

    async def key(self, key_id: str) -> jwt.PyJWK | None:
        """The key named `key_id`, or None when there is none.

        Raises ServiceUnavailable when no key could ever be fetched.
        """

    def has(self, key_id: str) -> bool:
        """Whether the key is among those held at the moment; asks nobody."""


class AccessTokenVerifier:
    """Verifies RFC 9068 access tokens and remembers the good ones until they expire."""

    def __init__(
        self,
        keys: KeySource,
        *,
        issuer: str,
        audience: str,
        cache_size: int = 10_000,
        now: Callable[[], float] = time_not_going_back,
    ) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._cache: OrderedDict[str, tuple[Principal, str]] = OrderedDict()
        self._cache_size = cache_size
        self._now = now

    def cached(self, token: str) -> Principal | None:
        """The principal of a token that was verified before and has not expired.

        None as well when the key that verified it was withdrawn since.
        """
        found = self._cache.get(token)
        if found is None:
            return None
        principal, key_id = found
        if principal.expires_at <= self._now() or not self._keys.has(key_id):
            self._cache.pop(token, None)
            return None
        return principal

    async def verify(self, token: str) -> Principal:
        """The principal of `token`. Raises InvalidToken, or ServiceUnavailable without keys."""
        known = self.cached(token)
        if known is not None:
            return known
        principal, key_id = await self._verify(token)
        self._cache[token] = principal, key_id
        if len(self._cache) > self._cache_size:
            self._cache.popitem(last=False)
        return principal

    def forget(self, unwanted: Callable[[Principal], bool]) -> int:
        """Drops remembered tokens whose principal is `unwanted`; returns how many."""
        doomed = [token for token, (principal, _) in self._cache.items() if unwanted(principal)]
        for token in doomed:
            del self._cache[token]
        return len(doomed)

    async def _verify(self, token: str) -> tuple[Principal, str]:
        """The principal, and the id of the key that signed. Raises as `verify` does."""
        if len(token) > MAX_TOKEN_LENGTH or not _COMPACT_FORM.fullmatch(token):
            raise InvalidToken
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.InvalidTokenError, RecursionError, ValueError) as error:
            raise InvalidToken from error
        # Only these two header fields are ever believed: RFC 8725 sections 3.1, 3.10 and 3.11.
        key_id, kind = header.get("kid"), header.get("typ")
        if header.get("alg") != ALGORITHM or not isinstance(key_id, str) or len(key_id) > 128:
            raise InvalidToken
        if not isinstance(kind, str) or kind.lower() not in {
            TOKEN_TYPE,
            f"application/{TOKEN_TYPE}",
        }:
            raise InvalidToken
        key = await self._keys.key(key_id)
        if key is None:
            raise InvalidToken
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                issuer=self._issuer,
                audience=self._audience,
                leeway=CLOCK_LEEWAY_SECONDS,
                options={"require": list(REQUIRED_CLAIMS), "strict_aud": True},
            )
            principal = principal_of(claims)
        except (jwt.InvalidTokenError, RecursionError, ValueError, TypeError, KeyError) as error:
            raise InvalidToken from error
        # What the library looked at is the wall clock, which may have been set back.
        if principal.expires_at + CLOCK_LEEWAY_SECONDS <= self._now():
            raise InvalidToken
        return principal, key_id


def principal_of(claims: Mapping[str, Any]) -> Principal:
    """Reads the claims of a verified token strictly. Raises ValueError, TypeError or KeyError."""
    expires_at, epoch, scope = claims["exp"], claims["epoch"], claims["scope"]
    for number in (expires_at, epoch, claims["iat"]):
        if type(number) is not int:
            raise TypeError("exp, iat and epoch are whole numbers")
    for text in (scope, claims["sid"], claims["jti"], claims["client_id"]):
        if not isinstance(text, str):
            raise TypeError("scope, sid, jti and client_id are strings")
    return Principal(
        user_id=UUID(claims["sub"]),
        role=Role(claims["role"]),
        tier=Tier(claims["tier"]),
        session_id=claims["sid"],
        token_id=claims["jti"],
        scope=frozenset(scope.split()),
        epoch=epoch,
        expires_at=expires_at,
    )


def bearer_token(authorization: str) -> str:
    """The token in an Authorization header (RFC 6750 section 2.1). Raises InvalidToken."""
    scheme, _, token = authorization.partition(" ")
    token = token.strip(" ")
    if scheme.lower() != "bearer" or not token:
        raise InvalidToken("The Authorization header must be: Bearer <access token>")
    return token
