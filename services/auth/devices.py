"""Device cookies: where an account has logged in before, as that browser itself can prove.

After OWASP's "device cookies": guesses from a known device are counted by themselves, so neither
does somebody else's guessing lock that device out, nor does a stolen cookie help beyond its own
budget. A cookie is no credential: it lets nobody in.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
import struct
from datetime import datetime, timedelta

from services.auth.keys import KeyRing, Seal

_PREFIX = "tld_"
_HEAD = struct.Struct(">16sI")  # name of the device, epoch seconds of the login
_MAC_BYTES = 16
_LONGEST = 128


class Devices:
    """Makes and reads device cookies, each good for one account and for `life`."""

    def __init__(self, keys: KeyRing, life: timedelta) -> None:
        self._keys = keys
        self._life = life

    @property
    def seconds(self) -> int:
        """How long a cookie is good."""
        return int(self._life.total_seconds())

    def issue(self, email: str, now: datetime) -> str:
        """The cookie of a device that has just logged in. Raises ServiceUnavailable."""
        head = _HEAD.pack(secrets.token_bytes(16), int(now.timestamp()))
        return _PREFIX + base64.urlsafe_b64encode(head + self._mac(head, email)).decode()

    def recognise(self, cookie: str | None, email: str, now: datetime) -> str | None:
        """The name of a device that has logged in as `email` before; None for all else.

        Takes no query, so it does the same work for an address that nobody has.
        """
        if cookie is None or len(cookie) > _LONGEST or not cookie.startswith(_PREFIX):
            return None
        try:
            body = base64.b64decode(cookie.removeprefix(_PREFIX), b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        head, mac = body[: _HEAD.size], body[_HEAD.size :]
        if len(head) != _HEAD.size or not hmac.compare_digest(mac, self._mac(head, email)):
            return None
        name, issued_at = _HEAD.unpack(head)
        return str(name.hex()) if now.timestamp() < issued_at + self.seconds else None

    def _mac(self, head: bytes, email: str) -> bytes:
        key = self._keys.sealing(Seal.DEVICE_COOKIES)
        return hmac.digest(key, head + email.encode(), "sha256")[:_MAC_BYTES]
