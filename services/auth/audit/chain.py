"""How rows hang together: each hash covers its row and the hash before it; seals sign one of them.

What is hashed is written down here once. Changing it makes every log that exists fail to verify.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import jwt
import orjson
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)

from services.auth.audit.event import AuditRecord
from services.auth.keys import SigningKey
from shared.identity import ALGORITHM

GENESIS = bytes(32)  # stands before the first row
SEAL_TYPE = "audit-seal+jwt"
_LINK = b"tasklane audit link 1\0"
_ORIGIN = b"tasklane audit origin 1\0"


class BadSeal(Exception):
    """A seal that nobody of us made; the text says why."""


@dataclass(frozen=True, slots=True)
class Seal:
    """What a good seal says: the row `sequence` had this hash at that time."""

    sequence: int
    hash: bytes
    at: datetime


def link_hash(previous: bytes, sequence: int, record: AuditRecord) -> bytes:
    """The hash of a row at its place in the chain: SHA-256 over the hash before and the row.

    The row goes in as a JSON array of all its fields but address and device, which `origin_hash`
    stands for.
    """
    row = [
        sequence,
        str(record.id),
        record.at.astimezone(UTC).isoformat(timespec="microseconds"),
        record.event,
        record.outcome,
        None if record.actor_id is None else str(record.actor_id),
        None if record.user_id is None else str(record.user_id),
        None if record.subject is None else record.subject.hex(),
        record.origin_hash.hex(),
        record.request_id,
        record.details,
    ]
    return hashlib.sha256(_LINK + previous + orjson.dumps(row)).digest()


def origin_hash(salt: bytes, address: str, device: str) -> bytes:
    """What stands for address and device; without the salt nobody finds them by trying."""
    return hashlib.sha256(_ORIGIN + salt + orjson.dumps([address, device])).digest()


def make_seal(key: SigningKey, sequence: int, row_hash: bytes, now: datetime) -> str:
    """A seal as a token (RFC 7519) of a type that nothing else takes."""
    return jwt.encode(
        {"sequence": sequence, "hash": row_hash.hex(), "iat": int(now.timestamp())},
        key.private_key,
        algorithm=ALGORITHM,
        headers={"kid": key.kid, "typ": SEAL_TYPE},
    )


def read_seal(token: str, public_keys: Mapping[str, bytes]) -> Seal:
    """What a seal says; `public_keys` are DER by key id. Raises BadSeal."""
    try:
        header = jwt.get_unverified_header(token)
        der = public_keys.get(str(header.get("kid")))
        if header.get("typ") != SEAL_TYPE or der is None:
            raise BadSeal("it is of another type, or its key is unknown")
        claims = jwt.decode(
            token,
            _public_key(der),
            algorithms=[ALGORITHM],
            options={"require": ["sequence", "hash", "iat"], "verify_iat": False},
        )
        return Seal(
            sequence=int(claims["sequence"]),
            hash=bytes.fromhex(claims["hash"]),
            at=datetime.fromtimestamp(int(claims["iat"]), UTC),
        )
    except (jwt.InvalidTokenError, ValueError, TypeError, OverflowError) as error:
        raise BadSeal(f"its signature or its content is not good ({error})") from error


def public_der(key: SigningKey) -> bytes:
    """The public half of a signing key as SubjectPublicKeyInfo in DER."""
    return key.private_key.public_key().public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )


def _public_key(der: bytes) -> rsa.RSAPublicKey:
    key = load_der_public_key(der)
    if not isinstance(key, rsa.RSAPublicKey):
        raise BadSeal("its key is no RSA key")
    return key
