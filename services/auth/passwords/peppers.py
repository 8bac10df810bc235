"""Optional keys that are mixed into passwords: a stolen database alone then cracks nothing."""

from __future__ import annotations

import base64
import binascii
import hmac
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field

SHORTEST_KEY = 32
_ID = re.compile(r"[a-z0-9]{1,16}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Peppers:
    """Keys by id. `current` is the id used for new hashes, empty when there is none."""

    current: str = ""
    keys: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    @classmethod
    def parse(cls, text: str) -> Peppers:
        """Reads `id:base64,id:base64`, the current one first. Raises ValueError, quoting no key."""
        keys: dict[str, bytes] = {}
        for number, entry in enumerate(filter(None, text.split(",")), start=1):
            name, _, encoded = entry.strip().partition(":")
            if not _ID.fullmatch(name) or name in keys:
                raise ValueError(f"Entry {number} needs an id of its own: a-z, 0-9, at most 16.")
            try:
                keys[name] = base64.b64decode(encoded, validate=True)
            except (binascii.Error, ValueError):
                raise ValueError(f"The key {name} is not base64.") from None
            if len(keys[name]) < SHORTEST_KEY:
                raise ValueError(f"The key {name} is shorter than {SHORTEST_KEY} bytes.")
        return cls(current=next(iter(keys), ""), keys=keys)

    def mix(self, password: str, key_id: str) -> bytes | None:
        """What is hashed in place of `password`; None when the key `key_id` is not there.

        Equal text is one password however the keyboard composes it: NFC, as the OpaqueString
        profile of RFC 8265 section 4.2 has it. Case, spaces and length stay as given.
        """
        plain = unicodedata.normalize("NFC", password).encode()
        if not key_id:
            return plain
        key = self.keys.get(key_id)
        return None if key is None else hmac.digest(key, plain, "sha256")
