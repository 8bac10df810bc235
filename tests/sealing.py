"""Keys that seal what tests store."""

import base64
import hashlib


def named_key(name: str) -> str:
    """One entry of ENCRYPTION_KEYS; the same for the same name."""
    return f"{name}:{base64.b64encode(hashlib.sha256(name.encode()).digest()).decode()}"


OLD, NEW = named_key("k1"), named_key("k2")
