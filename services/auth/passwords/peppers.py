"""Optional keys that are mixed into passwords: a stolen database alone then cracks nothing."""

from __future__ import annotations

import hmac
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field

from shared.named_keys import parse_named_keys


@dataclass(frozen=True, slots=True)
class Peppers:
    """Keys by id. `current` is the id used for new hashes, empty when there is none."""

    current: str = ""
    keys: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    @classmethod
    def parse(cls, text: str) -> Peppers:
        """Reads `id:base64,id:base64`, the current one first. Raises ValueError, quoting no key."""
        keys = parse_named_keys(text)
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
