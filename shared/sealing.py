"""Secrets that are kept for later use, encrypted where they are stored.

AES-256-GCM under a key of each value's own, which HKDF-SHA256 (RFC 5869) makes of a key of the
settings, a random salt and the place that the value belongs to. The place is associated data as
well: a value that is moved to another row, column or table does not open. A stored value is

    mark (4) | length of the key's id (1) | id | salt (16) | nonce (12) | ciphertext and tag (16)
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from marshmallow import ValidationError

from shared.named_keys import parse_named_keys
from shared.settings import setting

_MARK = b"tls1"
_SALT_BYTES, _NONCE_BYTES, _TAG_BYTES = 16, 12, 16
# Fewer different bytes than in any random key of 32: typed by hand, or made of one word.
_LEAST_DIFFERENT_BYTES = 16


class CannotUnseal(Exception):
    """A stored value does not open; the text says why and holds nothing secret."""


class Place(NamedTuple):
    """Where a value is stored. `row` is the text of its primary key."""

    table: str
    column: str
    row: str

    def context(self, key_id: str) -> bytes:
        """The place as bytes that no other place has: no part may hold a NUL."""
        return "\0".join((_MARK.decode(), key_id, *self)).encode()


@dataclass(frozen=True, slots=True)
class SealingKeys:
    """Keys by id; `current` is the id of the one that seals, empty when there is none.

    Without a key values are stored as they are, which only development is allowed to. A value that
    is stored plain is read as it is, so that an installation gets its keys without a pause.
    """

    current: str = ""
    keys: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    @classmethod
    def parse(cls, text: str) -> SealingKeys:
        """Reads `id:base64,id:base64`, the current one first. Raises ValueError, quoting no key."""
        keys = parse_named_keys(text)
        return cls(current=next(iter(keys), ""), keys=keys)

    def seal(self, plain: bytes, place: Place) -> bytes:
        """What to store of `plain` at `place`."""
        if not self.current:
            return plain
        salt, nonce = os.urandom(_SALT_BYTES), os.urandom(_NONCE_BYTES)
        context = place.context(self.current)
        key = _derived(self.keys[self.current], salt, context)
        name = self.current.encode()
        head = _MARK + bytes([len(name)]) + name + salt + nonce
        return head + AESGCM(key).encrypt(nonce, plain, context)

    def unseal(self, stored: bytes, place: Place) -> bytes:
        """What `seal` was given for `place`. Raises CannotUnseal."""
        if not _is_sealed(stored):
            return stored
        key_id, rest = _split(stored)
        master = self.keys.get(key_id)
        if master is None:
            raise CannotUnseal(
                f"{place.table}.{place.column} of {place.row} is sealed with the key"
                f" {key_id!r}, which ENCRYPTION_KEYS does not have"
            )
        salt, nonce = rest[:_SALT_BYTES], rest[_SALT_BYTES : _SALT_BYTES + _NONCE_BYTES]
        context = place.context(key_id)
        try:
            return AESGCM(_derived(master, salt, context)).decrypt(
                nonce, rest[_SALT_BYTES + _NONCE_BYTES :], context
            )
        except InvalidTag as error:
            raise CannotUnseal(
                f"{place.table}.{place.column} of {place.row} was altered, moved here from"
                f" another row, or sealed with another key of the name {key_id!r}"
            ) from error

    def is_current(self, stored: bytes) -> bool:
        """Whether `stored` was sealed with the present key; always so when there is none."""
        if not self.current:
            return True
        return _is_sealed(stored) and _split(stored)[0] == self.current


def check_sealing_keys(text: str) -> None:
    """The check of the setting. Raises marshmallow's ValidationError."""
    try:
        keys = SealingKeys.parse(text).keys
    except ValueError as error:
        raise ValidationError(str(error)) from None
    for name, key in keys.items():
        if len(set(key)) < _LEAST_DIFFERENT_BYTES:
            raise ValidationError(f"The key {name} is not random.")


@dataclass(frozen=True)
class SealingSettings:
    """What every process reads that keeps secrets for later use."""

    encryption_keys: str = setting(
        "ENCRYPTION_KEYS",
        "Keys that encrypt secrets in the database, `id:base64,…` of 32 random bytes each: the "
        "first for new ones, all for old ones. Production needs one; a lost key loses its secrets.",
        default="",
        secret=True,
        check=check_sealing_keys,
    )

    @property
    def sealing_keys(self) -> SealingKeys:
        return SealingKeys.parse(self.encryption_keys)


def _is_sealed(stored: bytes) -> bool:
    least = len(_MARK) + 2 + _SALT_BYTES + _NONCE_BYTES + _TAG_BYTES
    return stored.startswith(_MARK) and len(stored) >= least


def _split(stored: bytes) -> tuple[str, bytes]:
    """The id of the key, and what comes after it."""
    begin = len(_MARK) + 1
    end = begin + stored[len(_MARK)]
    return stored[begin:end].decode("ascii", "replace"), stored[end:]


def _derived(master: bytes, salt: bytes, context: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=context).derive(master)
