"""Argon2id hashes of passwords: making, checking and knowing when to make them again.

Hashes of bcrypt, brought along from another system, are checked and never made.
"""

from __future__ import annotations

import re
import secrets

import bcrypt
import structlog
from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import Type

from services.auth.passwords.governor import HashGovernor, Place
from services.auth.passwords.peppers import Peppers

log = structlog.get_logger(__name__)

# OWASP ASVS 5.0 appendix C: the least memory that goes with two passes.
TIME_COST = 2
MEMORY_KIB = 19_456
PARALLELISM = 1
# A stored hash names its own cost, and checking one that asks for 4 GiB would take them.
_MOST_TIME, _MOST_MEMORY_KIB, _MOST_PARALLELISM = 10, 131_072, 4
_PEPPER_MARK = "pepper="
# Cost 12 takes ten times as long as a hash of our own; each step more doubles it.
_BCRYPT = re.compile(r"\$2[aby]\$(0[4-9]|1[0-2])\$[./A-Za-z0-9]{53}", re.ASCII)
_BCRYPT_BYTES = 72


class Passwords:
    """Hashes and checks passwords in the governor's threads.

    A stored hash is a PHC string, behind `pepper=<key id>` when a pepper was mixed in.
    """

    def __init__(self, governor: HashGovernor, peppers: Peppers) -> None:
        self._governor = governor
        self._peppers = peppers
        self._argon2 = PasswordHasher(
            time_cost=TIME_COST, memory_cost=MEMORY_KIB, parallelism=PARALLELISM, type=Type.ID
        )
        # What the password of nobody is checked against, with the cost of a real check and by
        # the same steps: it has the form of a hash that would be stored today.
        self._decoy = self._argon2.hash(secrets.token_bytes(32))
        mark = f"{_PEPPER_MARK}{peppers.current}" if peppers.current else ""
        self._nobodys = mark + self._decoy

    async def hash(self, password: str) -> str:
        """The text to store for `password`. Raises ServiceUnavailable when there is no room."""
        key_id = self._peppers.current
        mixed = self._peppers.mix(password, key_id)
        assert mixed is not None
        phc = await self._governor.run("hash", self._argon2.hash, mixed)
        return f"{_PEPPER_MARK}{key_id}{phc}" if key_id else phc

    def line_up(self) -> Place:
        """A place in line for `verify`. Raises ServiceUnavailable when there is no room."""
        return self._governor.line_up()

    async def verify(self, password: str, stored: str | None, place: Place | None = None) -> bool:
        """Whether `stored` is the hash of `password`; one check's work whatever the answer.

        None stands for an account that does not exist. Without a `place`, one at the end of the
        line is taken. Raises ServiceUnavailable when there is no room.
        """
        mixed, phc = self._usable(password, stored)
        run = self._governor.run if place is None else place.run
        return await run("verify", self._matches, phc, mixed)

    def is_outdated(self, stored: str) -> bool:
        """Whether `stored` was made with other parameters or another pepper than a new hash."""
        key_id, phc = _split(stored)
        if key_id != self._peppers.current or _BCRYPT.fullmatch(phc):
            return True
        return self._argon2.check_needs_rehash(phc)

    def _usable(self, password: str, stored: str | None) -> tuple[bytes, str]:
        key_id, phc = _split(self._nobodys if stored is None else stored)
        mixed = self._peppers.mix(password, key_id)
        if mixed is None:
            log.error("pepper_missing", key_id=key_id)
        elif not _is_affordable(phc):
            log.error("stored_hash_refused")
        else:
            return mixed, phc
        return secrets.token_bytes(32), self._decoy

    def _matches(self, phc: str, mixed: bytes) -> bool:
        if _BCRYPT.fullmatch(phc):
            # It reads no further than this: two passwords that differ after it are not one.
            right = bcrypt.checkpw(mixed[:_BCRYPT_BYTES], phc.encode())
            return right and len(mixed) <= _BCRYPT_BYTES
        try:
            return self._argon2.verify(phc, mixed)
        except (VerificationError, InvalidHashError):
            return False


def _split(stored: str) -> tuple[str, str]:
    """The pepper's id, empty for none, and the PHC string."""
    if not stored.startswith(_PEPPER_MARK):
        return "", stored
    key_id, dollar, phc = stored.removeprefix(_PEPPER_MARK).partition("$")
    return key_id, dollar + phc


def _is_affordable(phc: str) -> bool:
    if _BCRYPT.fullmatch(phc):
        return True
    try:
        cost = extract_parameters(phc)
    except InvalidHashError:
        return False
    return (
        cost.type is Type.ID
        and cost.time_cost <= _MOST_TIME
        and cost.memory_cost <= _MOST_MEMORY_KIB
        and cost.parallelism <= _MOST_PARALLELISM
    )
