"""The form of API keys: auth makes them, and the gateway tells junk from them without asking."""

from __future__ import annotations

import hashlib
import re
import secrets
import zlib

PREFIX = "tl_live_"  # lets scanners of source code find a key that has leaked
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_RANDOM_CHARACTERS = 30  # 178 bits
_CHECKSUM_CHARACTERS = 6  # 62 ** 6 is more than 2 ** 32
_FORM = re.compile(
    rf"{PREFIX}([0-9A-Za-z]{{{_RANDOM_CHARACTERS}}})([0-9A-Za-z]{{{_CHECKSUM_CHARACTERS}}})"
)


def new_api_key() -> str:
    """A key: prefix, random part, CRC-32 of both in base 62."""
    body = PREFIX + "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM_CHARACTERS))
    return body + _checksum(body)


def is_api_key(text: str) -> bool:
    """Whether `text` can be a key; whether it is one, only auth knows."""
    found = _FORM.fullmatch(text)
    return found is not None and _checksum(PREFIX + found[1]) == found[2]


def api_key_hash(key: str) -> bytes:
    """What is kept of a key: random bits in such number need no slow hash (ASVS 6.5.2)."""
    return hashlib.sha256(key.encode()).digest()


def _checksum(body: str) -> str:
    number = zlib.crc32(body.encode())
    digits = []
    for _ in range(_CHECKSUM_CHARACTERS):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))
