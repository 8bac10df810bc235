"""CSRF tokens: auth gives them to a session's browser, and the gateway checks them by itself.

A token is a nonce and the HMAC of it under the session's own key, so that another session's token,
or one from before the login, is no good. The nonce makes each a new text: what compresses an
answer cannot be used to guess it.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets

CSRF_HEADER = "X-CSRF-Token"
_NONCE_BYTES = 16
_MAC_BYTES = 32
_LENGTH = (_NONCE_BYTES + _MAC_BYTES) * 4 // 3  # whole groups of three: no padding


def new_csrf_token(key: bytes) -> str:
    """A token of the session that has `key`."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return base64.urlsafe_b64encode(nonce + _mac(key, nonce)).decode()


def is_csrf_token(key: bytes, text: str) -> bool:
    """Whether `text` is a token of the session that has `key`, told in constant time."""
    if len(text) != _LENGTH:
        return False
    try:
        given = base64.b64decode(text, b"-_", validate=True)
    except (binascii.Error, ValueError):
        return False
    nonce, mac = given[:_NONCE_BYTES], given[_NONCE_BYTES:]
    return hmac.compare_digest(mac, _mac(key, nonce))


def _mac(key: bytes, nonce: bytes) -> bytes:
    return hmac.digest(key, b"csrf\0" + nonce, "sha256")
