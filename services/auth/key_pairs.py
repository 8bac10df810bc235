"""RSA keys that sign access tokens: making, storing and showing them."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from dataclasses import dataclass
from typing import Any

import orjson
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from shared.identity import ALGORITHM

KEY_BITS = 2048


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A key with its id; `private` is PKCS 8 in DER."""

    kid: str
    private: bytes


async def new_key_pair() -> KeyPair:
    """A fresh key."""
    # Finding two primes takes long enough to keep the loop from everybody else.
    key = await asyncio.to_thread(rsa.generate_private_key, 65_537, KEY_BITS)
    private = key.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return KeyPair(thumbprint(key.public_key()), private)


def private_key_of(der: bytes) -> rsa.RSAPrivateKey:
    """The key in PKCS 8. Raises ValueError."""
    key = serialization.load_der_private_key(der, password=None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


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


def _unsigned(number: int) -> str:
    """Base64urlUInt of RFC 7518 section 2."""
    return _base64url(number.to_bytes((number.bit_length() + 7) // 8, "big"))


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
