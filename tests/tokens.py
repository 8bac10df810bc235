"""Access tokens for tests: a real RSA key, and every way to forge one."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from functools import cache
from typing import Any
from uuid import UUID

import jwt
import orjson
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from shared.identity import AccessTokenVerifier

ISSUER = "tasklane"
AUDIENCE = "tasklane-api"
USER = UUID("0199a6f0-c0de-7000-8000-000000000001")
KEY_ID = "key-1"
MISSING = object()


@cache
def private_key(name: str = KEY_ID) -> RSAPrivateKey:
    """The RSA key called `name`, made once for the whole run."""
    return generate_private_key(public_exponent=65537, key_size=2048)


def public_pem(name: str = KEY_ID) -> bytes:
    """The public half of the key `name`: what anybody may know."""
    public = private_key(name).public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def public_jwk(name: str = KEY_ID) -> dict[str, Any]:
    """The key `name` as a member of a key set."""
    shown: dict[str, Any] = jwt.algorithms.RSAAlgorithm.to_jwk(
        private_key(name).public_key(), as_dict=True
    )
    return {**shown, "kid": name, "use": "sig", "alg": "RS256"}


def key_set(*names: str) -> bytes:
    """A JWK set of the keys called `names`."""
    return orjson.dumps({"keys": [public_jwk(name) for name in names]})


def claims(**changes: Any) -> dict[str, Any]:
    """The claims of a good token, with `changes`; MISSING leaves one out."""
    now = int(time.time())
    good = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": str(USER),
        "client_id": "tasklane",
        "sid": "session-1",
        "jti": "token-1",
        "iat": now,
        "exp": now + 900,
        "role": "user",
        "tier": "default",
        "scope": "",
        "epoch": 0,
        **changes,
    }
    return {name: value for name, value in good.items() if value is not MISSING}


def token(*, key: str = KEY_ID, headers: Mapping[str, Any] | None = None, **changes: Any) -> str:
    """A signed access token, good unless `headers` or `changes` say otherwise."""
    # Below jwt.encode, which makes no token with claims of a wrong type.
    return jwt.PyJWS().encode(
        json.dumps(claims(**changes)).encode(),
        private_key(key),
        algorithm="RS256",
        headers={"kid": key, "typ": "at+jwt", **(headers or {})},
    )


class Keys:
    """A key source that holds the public keys called `names`."""

    def __init__(self, *names: str) -> None:
        self.asked: list[str] = []
        self._keys = {name: jwt.PyJWK(public_jwk(name), algorithm="RS256") for name in names}

    async def key(self, key_id: str) -> jwt.PyJWK | None:
        self.asked.append(key_id)
        return self._keys.get(key_id)

    def has(self, key_id: str) -> bool:
        return key_id in self._keys

    def withdraw(self, key_id: str) -> None:
        del self._keys[key_id]


def verifier(*names: str) -> AccessTokenVerifier:
    """A verifier that trusts the keys called `names`, by default the one that `token` uses."""
    return AccessTokenVerifier(Keys(*(names or (KEY_ID,))), issuer=ISSUER, audience=AUDIENCE)
