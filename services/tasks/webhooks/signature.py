"""Signatures of Standard Webhooks 1.0, symmetric scheme `v1`."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import b64encode
from collections.abc import Iterable

SECRET_BYTES = 32


def new_secret() -> bytes:
    return secrets.token_bytes(SECRET_BYTES)


def shown_secret(secret: bytes) -> str:
    """A secret as receivers enter it."""
    return f"whsec_{b64encode(secret).decode()}"


def sign(keys: Iterable[bytes], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers of one attempt at `timestamp` (epoch seconds), signed with each of the keys."""
    text = f"{message_id}.{timestamp}.".encode() + body
    signatures = [
        f"v1,{b64encode(hmac.digest(key, text, hashlib.sha256)).decode()}" for key in keys
    ]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signatures),
    }
