"""Where auth stores its own keys, which is what they are sealed for."""

from __future__ import annotations

from shared.sealing import Place


def signing_key_place(kid: str) -> Place:
    """The place of a private key."""
    return Place("signing_keys", "private_key", kid)


def sealing_key_place(purpose: str) -> Place:
    """The place of a symmetric key."""
    return Place("sealing_keys", "key", purpose)
