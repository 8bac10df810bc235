"""Access tokens (RFC 9068) and refresh tokens: what a login hands out."""

from __future__ import annotations

import base64
import binascii
import hmac
import struct
import zlib
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import jwt

from services.auth.domain import ApiKey, Session, User
from services.auth.keys import KeyRing, Seal
from shared.identity import ALGORITHM, TOKEN_TYPE
from shared.ids import uuid7

CLIENT_ID = "tasklane"  # our own logins, as opposed to an OAuth client's
EXCHANGED_SECONDS = 300  # life of a token that a key was exchanged for

REFRESH_PREFIX = "tlr_"
MAX_REFRESH_LENGTH = 128
_REFRESH_VERSION = 1
_REFRESH_HEAD = struct.Struct(">B16sI")  # version, session id, counter
_SEAL_BYTES = 16
_CHECKSUM = struct.Struct(">I")


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """What a genuine refresh token says; whether it still counts is the session's matter."""

    session_id: UUID
    counter: int


@dataclass(frozen=True, slots=True)
class AccessToken:
    """What a gateway gets for another credential. `expires_in` is in seconds.

    `csrf_key` is there for a session: what changes anything by its cookie proves itself with it.
    """

    access_token: str
    expires_in: int
    csrf_key: str | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """The answer to a login, a registration or a refresh. `expires_in` is in seconds."""

    user: User
    access_token: str
    refresh_token: str
    token_type: str
    expires_in: int
    session_expires_at: datetime
    idle_expires_at: datetime


class Tokens:
    """Makes both kinds of token, and reads refresh tokens."""

    def __init__(self, keys: KeyRing, *, issuer: str, audience: str, access_seconds: int) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._access_seconds = access_seconds

    def grant(self, user: User, session: Session, now: datetime) -> Grant:
        """Both tokens of `session`. Raises ServiceUnavailable before the keys are read."""
        # No access token outlives its session.
        left = int((session.expires_at - now).total_seconds())
        seconds = max(1, min(self._access_seconds, left))
        return Grant(
            user=user,
            access_token=self._access_token(user, session.id, int(now.timestamp()), seconds),
            refresh_token=seal_refresh_token(
                self._keys.sealing(Seal.REFRESH_TOKENS),
                RefreshToken(session.id, session.refresh_counter),
            ),
            token_type="Bearer",  # noqa: S106 - RFC 6750, not a secret
            expires_in=seconds,
            session_expires_at=session.expires_at,
            idle_expires_at=session.idle_expires_at,
        )

    def for_api_key(self, user: User, key: ApiKey, now: datetime) -> AccessToken:
        """A token with the rights of `key`, whose id takes the place of a session's.

        Raises ServiceUnavailable before the keys are read.
        """
        seconds = EXCHANGED_SECONDS
        if key.expires_at is not None:
            seconds = max(1, min(seconds, int((key.expires_at - now).total_seconds())))
        scope = " ".join(key.scopes)
        token = self._access_token(user, key.id, int(now.timestamp()), seconds, scope)
        return AccessToken(token, seconds)

    def for_session(self, user: User, session: Session, now: datetime, seconds: int) -> AccessToken:
        """A token that stands for a session's cookie for `seconds`, or as long as that is alive.

        Raises ServiceUnavailable before the keys are read.
        """
        left = int((session.idle_expires_at - now).total_seconds())
        seconds = max(1, min(seconds, left))
        token = self._access_token(user, session.id, int(now.timestamp()), seconds)
        return AccessToken(token, seconds, self.csrf_key(session.id))

    def csrf_key(self, session_id: UUID) -> str:
        """The key of a session's CSRF tokens; nothing of it is stored with the session."""
        key = self._keys.sealing(Seal.CSRF_TOKENS)
        return hmac.digest(key, session_id.bytes, "sha256").hex()

    def read_refresh(self, text: str) -> RefreshToken | None:
        """A refresh token that we made, None for anything else; takes no query."""
        return open_refresh_token(self._keys.sealing(Seal.REFRESH_TOKENS), text)

    def _access_token(
        self, user: User, session_id: UUID, issued_at: int, seconds: int, scope: str = ""
    ) -> str:
        key = self._keys.signing
        claims = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": str(user.id),
            "client_id": CLIENT_ID,
            "sid": str(session_id),
            "jti": str(uuid7()),
            "iat": issued_at,
            "exp": issued_at + seconds,
            "role": user.role.value,
            "tier": user.tier.value,
            # Empty: all that the role may do.
            "scope": scope,
            "epoch": user.epoch,
        }
        return jwt.encode(
            claims,
            key.private_key,
            algorithm=ALGORITHM,
            headers={"kid": key.kid, "typ": TOKEN_TYPE},
        )


def seal_refresh_token(key: bytes, token: RefreshToken) -> str:
    """The text of a refresh token: version, session, counter, HMAC-SHA256/128, CRC-32.

    The checksum lets anyone tell a mistyped token from a forged one, without the key.
    """
    head = _REFRESH_HEAD.pack(_REFRESH_VERSION, token.session_id.bytes, token.counter)
    body = head + _seal(key, head)
    body += _CHECKSUM.pack(zlib.crc32(body))
    return REFRESH_PREFIX + base64.urlsafe_b64encode(body).rstrip(b"=").decode()


def open_refresh_token(key: bytes, text: str) -> RefreshToken | None:
    """The token in `text`, None unless it was sealed with `key`."""
    size = _REFRESH_HEAD.size + _SEAL_BYTES + _CHECKSUM.size
    if not text.startswith(REFRESH_PREFIX) or len(text) > MAX_REFRESH_LENGTH:
        return None
    encoded = text.removeprefix(REFRESH_PREFIX)
    try:
        body = base64.b64decode(encoded + "=" * (-len(encoded) % 4), b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    if len(body) != size or _CHECKSUM.unpack(body[-4:])[0] != zlib.crc32(body[:-4]):
        return None
    head, sealed = body[: _REFRESH_HEAD.size], body[_REFRESH_HEAD.size : -_CHECKSUM.size]
    if not hmac.compare_digest(sealed, _seal(key, head)):
        return None
    version, session_id, counter = _REFRESH_HEAD.unpack(head)
    token = RefreshToken(UUID(bytes=session_id), counter)
    # The last character has bits to spare: a token has exactly one spelling.
    if version != _REFRESH_VERSION or seal_refresh_token(key, token) != text:
        return None
    return token


def _seal(key: bytes, head: bytes) -> bytes:
    return hmac.digest(key, REFRESH_PREFIX.encode() + head, "sha256")[:_SEAL_BYTES]
