"""Secrets that tell themselves from junk: a prefix, random characters, a checksum of both."""

from __future__ import annotations

import hashlib
import re
import secrets
import zlib

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_RANDOM_CHARACTERS = 30  # 178 bits
_CHECKSUM_CHARACTERS = 6  # 62 ** 6 is more than 2 ** 32


class SecretForm:
    """One kind of secret. Auth makes them; the gateway tells junk from them without asking."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._pattern = re.compile(
            rf"{re.escape(prefix)}"
            rf"([0-9A-Za-z]{{{_RANDOM_CHARACTERS}}})([0-9A-Za-z]{{{_CHECKSUM_CHARACTERS}}})"
        )

    def new(self) -> str:
        """A secret: prefix, random part, CRC-32 of both in base 62."""
        body = self._prefix + "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM_CHARACTERS))
        return body + _checksum(body)

    def fits(self, text: str) -> bool:
        """Whether `text` can be such a secret; whether it is one, only auth knows."""
        found = self._pattern.fullmatch(text)
        return found is not None and _checksum(self._prefix + found[1]) == found[2]


def secret_hash(secret: str) -> bytes:
    """What is kept of a secret: random bits in such number need no slow hash (ASVS 6.5.2)."""
    return hashlib.sha256(secret.encode()).digest()


def _checksum(body: str) -> str:
    number = zlib.crc32(body.encode())
    digits = []
    for _ in range(_CHECKSUM_CHARACTERS):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))
