"""The keys of auth in memory: what signs access tokens and what seals everything else."""

from __future__ import annotations

import math
import secrets
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import asyncpg
import orjson
import structlog
from cryptography.hazmat.primitives.asymmetric import rsa
from prometheus_client import CollectorRegistry, Gauge

from services.auth.key_pairs import new_key_pair, private_key_of, public_jwk
from services.auth.key_places import sealing_key_place, signing_key_place
from services.auth.repository import AuthStore
from services.auth.repository.keys import StoredSigningKey
from shared.clock import utc_now
from shared.errors import ServiceUnavailable
from shared.jwks import JwksCache
from shared.sealing import CannotUnseal, SealingKeys

log = structlog.get_logger(__name__)

# A key that another replica rotated to or withdrew is known here after this time.
REFRESH_SECONDS = 5.0


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
    has over HTTP; its refreshing also brings keys that another replica has rotated. `at_rest`
    opens what is stored, and seals what is made here.
    """

    def __init__(self, store: AuthStore, registry: CollectorRegistry, at_rest: SealingKeys) -> None:
        self._store = store
        self._at_rest = at_rest
        self._signing: SigningKey | None = None
        self._pairs: dict[str, rsa.RSAPrivateKey] = {}
        self._sealing: dict[str, bytes] = {}
        self._document = b""
        self.unreadable: CannotUnseal | None = None
        self.published = JwksCache(self._fetch, refresh_seconds=REFRESH_SECONDS)
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
        """Reads all keys, making those that are missing.

        Raises ServiceUnavailable, and CannotUnseal for a key that cannot be done without.
        """
        async with self._store.read() as repository:
            stored = await repository.keys.signing()
            sealing = await repository.keys.sealing()
        if not any(key.state == "active" for key in stored) or set(Seal) - set(sealing):
            await self._make_missing()
            async with self._store.read() as repository:
                stored = await repository.keys.signing()
                sealing = await repository.keys.sealing()
        pairs = {key.kid: pair for key in stored if (pair := self._pair_of(key)) is not None}
        opened = {
            purpose: self._at_rest.unseal(value, sealing_key_place(purpose))
            for purpose, value in sealing.items()
        }
        active = next(key for key in stored if key.state == "active")
        self._document = orjson.dumps(
            {"keys": [public_jwk(kid, pair.public_key()) for kid, pair in pairs.items()]}
        )
        self._pairs, self._sealing = pairs, opened
        self._signing = SigningKey(active.kid, pairs[active.kid], active.created_at)

    def _pair_of(self, key: StoredSigningKey) -> rsa.RSAPrivateKey | None:
        """The key in a row; None when it does not open and tokens can be signed without it."""
        known = self._pairs.get(key.kid)
        if known is not None:
            return known
        try:
            return private_key_of(self._at_rest.unseal(key.private_key, signing_key_place(key.kid)))
        except CannotUnseal as error:
            if key.state == "active":
                raise
            log.error("signing_key_unreadable", reason=str(error))
            return None

    def _created(self) -> float:
        return math.nan if self._signing is None else self._signing.created_at.timestamp()

    async def _make_missing(self) -> None:
        pair, now = await new_key_pair(), utc_now()
        private = self._at_rest.seal(pair.private, signing_key_place(pair.kid))
        async with self._store.begin() as repository:
            await repository.keys.add_active(pair.kid, private, now)
            for purpose in Seal:
                sealed = self._at_rest.seal(
                    secrets.token_bytes(32), sealing_key_place(purpose.value)
                )
                await repository.keys.add_sealing(purpose, sealed, now)
        log.info("keys_made")

    async def _fetch(self) -> bytes:
        try:
            await self.load()
        except (ServiceUnavailable, asyncpg.UndefinedTableError) as error:
            raise ConnectionError("the key table is out of reach") from error
        except CannotUnseal as error:
            self.unreadable = error
            raise ValueError(str(error)) from error
        self.unreadable = None
        return self._document
