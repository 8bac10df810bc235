"""The keys of auth in memory: what signs access tokens and what seals everything else."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import math
import secrets
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import asyncpg
import orjson
import structlog
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from prometheus_client import CollectorRegistry, Gauge

from services.auth.repository import AuthStore
from shared.clock import utc_now
from shared.errors import ServiceUnavailable
from shared.identity import ALGORITHM
from shared.jwks import JwksCache

log = structlog.get_logger(__name__)

KEY_BITS = 2048


class Seal(StrEnum):
    """What a symmetric key of 32 bytes is for; one key has one purpose."""

    REFRESH_TOKENS = "refresh_tokens"
    GUESS_SUBJECTS = "guess_subjects"
    CSRF_TOKENS = "csrf_tokens"
    DEVICE_COOKIES = "device_cookies"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """The key that new access tokens are signed with."""

    kid: str
    private_key: rsa.RSAPrivateKey
    created_at: datetime


class KeyRing:
    """Every replica's copy of the keys in the database; the first start makes them.

    `published` serves verification from the same rows, with the cache that every other service
    has over HTTP; its refreshing also brings keys that another replica has rotated.
    """

    def __init__(self, store: AuthStore, registry: CollectorRegistry) -> None:
        self._store = store
        self._signing: SigningKey | None = None
        self._sealing: dict[str, bytes] = {}
        self._document = b""
        self.published = JwksCache(self._fetch)
        Gauge(
            "signing_key_created_timestamp_seconds",
            "When the key that signs access tokens was made",
            registry=registry,
        ).set_function(self._created)

    @property
    def signing(self) -> SigningKey:
        """The active key. Raises ServiceUnavailable before the first load."""
        if self._signing is None:
            raise ServiceUnavailable("The keys have not been read yet")
        return self._signing

    @property
    def document(self) -> bytes:
        """The JWK set (RFC 7517 section 5) as JSON. Raises ServiceUnavailable as `signing` does."""
        if not self._document:
            raise ServiceUnavailable("The keys have not been read yet")
        return self._document

    def sealing(self, purpose: Seal) -> bytes:
        """The key for `purpose`. Raises ServiceUnavailable before the first load."""
        if purpose not in self._sealing:
            raise ServiceUnavailable("The keys have not been read yet")
        return self._sealing[purpose]

    async def check(self) -> None:
        """Health check: there is a key to sign with."""
        assert self.signing is not None

    async def load(self) -> None:
        """Reads all keys, making those that are missing. Raises ServiceUnavailable."""
        async with self._store.read() as repository:
            stored = await repository.keys.signing()
            sealing = await repository.keys.sealing()
        if not any(key.state == "active" for key in stored) or set(Seal) - set(sealing):
            await self._make_missing()
            async with self._store.read() as repository:
                stored = await repository.keys.signing()
                sealing = await repository.keys.sealing()
        pairs = {key.kid: _private_key(key.private_key) for key in stored}
        active = next(key for key in stored if key.state == "active")
        self._document = orjson.dumps(
            {"keys": [public_jwk(kid, pair.public_key()) for kid, pair in pairs.items()]}
        )
        self._sealing = sealing
        self._signing = SigningKey(active.kid, pairs[active.kid], active.created_at)

    def _created(self) -> float:
        return math.nan if self._signing is None else self._signing.created_at.timestamp()

    async def _make_missing(self) -> None:
        # Finding two primes takes long enough to keep the loop from everybody else.
        pair = await asyncio.to_thread(rsa.generate_private_key, 65_537, KEY_BITS)
        private = pair.private_bytes(
            serialization.Encoding.DER,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        async with self._store.begin() as repository:
            await repository.keys.add_active(thumbprint(pair.public_key()), private, utc_now())
            for purpose in Seal:
                await repository.keys.add_sealing(purpose, secrets.token_bytes(32), utc_now())
        log.info("keys_made")

    async def _fetch(self) -> bytes:
        try:
            await self.load()
        except (ServiceUnavailable, asyncpg.UndefinedTableError) as error:
            raise ConnectionError("the key table is out of reach") from error
        return self._document


def public_jwk(kid: str, key: rsa.RSAPublicKey) -> dict[str, Any]:
    """The public key as a JWK (RFC 7517 section 4)."""
    return {"kid": kid, "use": "sig", "alg": ALGORITHM, **_members(key)}


def thumbprint(key: rsa.RSAPublicKey) -> str:
    """The key's RFC 7638 thumbprint, which is its `kid`."""
    canonical = orjson.dumps(_members(key), option=orjson.OPT_SORT_KEYS)
    return _base64url(hashlib.sha256(canonical).digest())


def _members(key: rsa.RSAPublicKey) -> dict[str, str]:
    """The members that RFC 7638 section 3.2 takes the thumbprint of an RSA key from."""
    numbers = key.public_numbers()
    return {"kty": "RSA", "e": _unsigned(numbers.e), "n": _unsigned(numbers.n)}


def _private_key(der: bytes) -> rsa.RSAPrivateKey:
    key = serialization.load_der_private_key(der, password=None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


def _unsigned(number: int) -> str:
    """Base64urlUInt of RFC 7518 section 2."""
    return _base64url(number.to_bytes((number.bit_length() + 7) // 8, "big"))


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
