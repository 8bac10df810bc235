"""API keys at the door: junk is told by its checksum, the rest is exchanged with auth, and kept."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from services.gateway.identity.revoked import Revoked
from shared.api_keys import is_api_key
from shared.auth_internal import AuthAway
from shared.errors import InvalidToken, ServiceUnavailable, Unauthorized
from shared.identity import AccessTokenVerifier, Principal
from shared.tally import Tally

MOST_REMEMBERED = 10_000
MOST_AT_ONCE = 64  # exchanges under way; one more is refused rather than queued
REFUSAL_SECONDS = 2.0  # how long auth is not asked again about a key that it does not know
_BAD = "The API key is not valid"
_HIT, _MISS, _JUNK = ("hit",), ("miss",), ("junk",)


class Exchanger(Protocol):
    """Who turns a key into an access token."""

    async def exchange(self, credential: dict[str, str]) -> str | None:
        """The token, None for a key that is not good. Raises AuthAway."""


@dataclass(frozen=True, slots=True)
class Exchanged:
    """A verified access token that stands for another credential."""

    principal: Principal
    authorization: bytes


class ApiKeys:
    """Knows the token of every key seen lately, until it expires or is revoked."""

    def __init__(
        self,
        auth: Exchanger | None,
        verifier: AccessTokenVerifier,
        revoked: Revoked,
        lookups: Tally,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._auth = auth
        self._verifier = verifier
        self._revoked = revoked
        self._lookups = lookups
        self._now = now
        # By a hash, so that no memory dump gives the keys away.
        self._known: OrderedDict[bytes, Exchanged] = OrderedDict()
        self._refused: dict[bytes, float] = {}
        self._under_way: dict[bytes, asyncio.Task[Exchanged | None]] = {}

    async def find(self, key: bytes) -> Exchanged:
        """The token that stands for `key`; awaits nothing when it is known.

        Raises Unauthorized, and ServiceUnavailable when auth is away or there is too much to ask.
        """
        text = key.decode("latin-1")
        if not is_api_key(text):
            self._lookups.add(_JUNK)
            raise Unauthorized(_BAD)
        digest = hashlib.sha256(key).digest()
        known = self._known.get(digest)
        if known is not None:
            if known.principal.expires_at > self._now() and not self._revoked.covers(
                known.principal
            ):
                self._lookups.add(_HIT)
                return known
            del self._known[digest]
        self._lookups.add(_MISS)
        if self._refused.get(digest, 0.0) > self._now():
            raise Unauthorized(_BAD)
        found = await self._ask(digest, text)
        # It may have been revoked on its way here.
        if found is None or self._revoked.covers(found.principal):
            raise Unauthorized(_BAD)
        return found

    async def _ask(self, digest: bytes, key: str) -> Exchanged | None:
        task = self._under_way.get(digest)
        if task is None:
            if len(self._under_way) >= MOST_AT_ONCE:
                raise ServiceUnavailable("Identity cannot be verified right now")
            task = self._under_way[digest] = asyncio.create_task(self._exchange(digest, key))
            task.add_done_callback(lambda _task: self._under_way.pop(digest, None))
        # Who gives up must not take the answer from those who wait for the same.
        try:
            return await asyncio.shield(task)
        except AuthAway as error:
            raise ServiceUnavailable("Identity cannot be verified right now") from error

    async def _exchange(self, digest: bytes, key: str) -> Exchanged | None:
        if self._auth is None:
            raise AuthAway("this gateway has no service key")
        token = await self._auth.exchange({"api_key": key})
        if token is None:
            if len(self._refused) >= MOST_REMEMBERED:
                self._refused.clear()
            self._refused[digest] = self._now() + REFUSAL_SECONDS
            return None
        try:
            principal = await self._verifier.verify(token)
        except InvalidToken as error:
            raise AuthAway("auth gave a token that is not good") from error
        found = self._known[digest] = Exchanged(principal, b"Bearer " + token.encode("ascii"))
        if len(self._known) > MOST_REMEMBERED:
            self._known.popitem(last=False)
        return found
