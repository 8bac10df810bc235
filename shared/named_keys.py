"""Symmetric keys by name, as settings give them: `id:base64,id:base64`, the present one first."""

from __future__ import annotations

import base64
import binascii
import re

SHORTEST_KEY = 32
_ID = re.compile(r"[a-z0-9]{1,16}", re.ASCII)


def parse_named_keys(text: str) -> dict[str, bytes]:
    """The keys of at least 32 bytes in `text`, in its order. Raises ValueError, quoting no key."""
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
    return keys
