"""What another service needs for `/internal/*`: a key buys a token of five minutes, only that."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import datetime

import jwt

from services.auth.keys import KeyRing
from shared.errors import Unauthorized
from shared.identity import ALGORITHM

SERVICE_TOKEN_TYPE = "service+jwt"  # noqa: S105 - a media type
AUDIENCE = "tasklane-internal"
LIFE_SECONDS = 300
LONGEST_TOKEN = 2_048
CHALLENGE = 'Service realm="tasklane-internal"'


@dataclass(frozen=True, slots=True)
class ServiceToken:
    """`expires_in` is in seconds."""

    access_token: str
    expires_in: int


class ServiceAccess:
    """Sells and checks service tokens. Several keys are good at once while they are changed."""

    def __init__(self, credentials: tuple[str, ...], keys: KeyRing) -> None:
        self._credentials = tuple(credential.encode() for credential in credentials)
        self._keys = keys

    def sell(self, offered: str | None, now: datetime) -> ServiceToken:
        """A token for a service key. Raises Unauthorized and ServiceUnavailable."""
        given = (offered or "").encode("utf-8", "surrogateescape")
        # All are compared, so that the time tells nothing about which is nearest.
        matches = [hmac.compare_digest(given, known) for known in self._credentials]
        if not any(matches):
            raise Unauthorized("The service key is not valid", challenge=CHALLENGE)
        issued_at = int(now.timestamp())
        key = self._keys.signing
        token = jwt.encode(
            {"aud": AUDIENCE, "iat": issued_at, "exp": issued_at + LIFE_SECONDS},
            key.private_key,
            algorithm=ALGORITHM,
            headers={"kid": key.kid, "typ": SERVICE_TOKEN_TYPE},
        )
        return ServiceToken(token, LIFE_SECONDS)

    async def check(self, token: str | None) -> None:
        """Raises Unauthorized unless `token` is a service token that is good at the moment."""
        if token is None or len(token) > LONGEST_TOKEN:
            raise Unauthorized(challenge=CHALLENGE)
        try:
            header = jwt.get_unverified_header(token)
            key_id = header.get("kid")
            if header.get("typ") != SERVICE_TOKEN_TYPE or not isinstance(key_id, str):
                raise jwt.InvalidTokenError
            key = await self._keys.published.key(key_id)
            if key is None:
                raise jwt.InvalidTokenError
            jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                options={"require": ["aud", "iat", "exp"], "strict_aud": True},
            )
        except (jwt.InvalidTokenError, RecursionError, ValueError) as error:
            raise Unauthorized("The service token is not valid", challenge=CHALLENGE) from error
