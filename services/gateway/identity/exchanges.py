"""Credentials that stand for a token: junk is told by its checksum, the rest is exchanged, kept."""

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
from shared.auth_internal import AuthAway, Bought
from shared.errors import InvalidToken, ServiceUnavailable, Unauthorized
from shared.identity import AccessTokenVerifier, Principal
from shared.tally import Tally

MOST_REMEMBERED = 10_000
MOST_AT_ONCE = 64  # exchanges under way; one more is refused rather than queued
REFUSAL_SECONDS = 2.0  # auth is not asked again about what it does not know
_HIT, _MISS, _JUNK = ("hit",), ("miss",), ("junk",)


class Exchanger(Protocol):
    """Who turns a credential into an access token."""

    async def exchange(self, credential: dict[str, str]) -> Bought | None:
        """The token, None for a credential that is not good. Raises AuthAway."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of credential: its name in an exchange, its form, and the refusal of a bad one."""

    name: str
    fits: Callable[[str], bool]
    refusal: Callable[[], Unauthorized]


API_KEY = Kind("api_key", is_api_key, lambda: Unauthorized("The API key is not valid"))


@dataclass(frozen=True, slots=True)
class Exchanged:
    """A verified access token that stands for another credential.

    `csrf_key` is there for a session, and what its CSRF tokens are checked with.
    """

    principal: Principal
    authorization: bytes
    csrf_key: bytes | None


class Exchanges:
    """Knows the token of every credential of one kind seen lately, until it expires or is revoked.

    Whatever is known is filed under the whole credential: no two of them share an answer.
    """

    def __init__(
        self,
        kind: Kind,
        auth: Exchanger | None,
        verifier: AccessTokenVerifier,
        revoked: Revoked,
        lookups: Tally,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._kind = kind
        self._auth = auth
        self._verifier = verifier
        self._revoked = revoked
        self._lookups = lookups
        self._now = now
        # By a hash, so that no memory dump gives the keys away.
        self._known: OrderedDict[bytes, Exchanged] = OrderedDict()
        self._refused: dict[bytes, float] = {}
        self._under_way: dict[bytes, asyncio.Task[Exchanged | None]] = {}

    async def find(self, credential: bytes) -> Exchanged:
        """The token that stands for `credential`; awaits nothing when it is known.

        Raises the kind's refusal, and ServiceUnavailable when auth is away or there is too much
        to ask.
        """
        text = credential.decode("latin-1")
        if not self._kind.fits(text):
            self._lookups.add(_JUNK)
            raise self._kind.refusal()
        digest = hashlib.sha256(credential).digest()
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
            raise self._kind.refusal()
        # A token may be void on its arrival, by a change of rights that its credential survives: a
        # second one is of after that. A credential that has ended gets none.
        for _ in range(2):
            found = await self._ask(digest, text)
            if found is None:
                break
            if not self._revoked.covers(found.principal):
                return found
        raise self._kind.refusal()

    async def _ask(self, digest: bytes, credential: str) -> Exchanged | None:
        task = self._under_way.get(digest)
        if task is None:
            if len(self._under_way) >= MOST_AT_ONCE:
                raise ServiceUnavailable("Identity cannot be verified right now")
            task = self._under_way[digest] = asyncio.create_task(self._exchange(digest, credential))
            task.add_done_callback(lambda _task: self._under_way.pop(digest, None))
        # Who gives up must not take the answer from those who wait for the same.
        try:
            return await asyncio.shield(task)
        except AuthAway as error:
            raise ServiceUnavailable("Identity cannot be verified right now") from error

    async def _exchange(self, digest: bytes, credential: str) -> Exchanged | None:
        if self._auth is None:
            raise AuthAway("this gateway has no service key")
        bought = await self._auth.exchange({self._kind.name: credential})
        if bought is None:
            if len(self._refused) >= MOST_REMEMBERED:
                self._refused.clear()
            self._refused[digest] = self._now() + REFUSAL_SECONDS
            return None
        try:
            principal = await self._verifier.verify(bought.token)
        except InvalidToken as error:
            raise AuthAway("auth gave a token that is not good") from error
        authorization = b"Bearer " + bought.token.encode("ascii")
        found = self._known[digest] = Exchanged(principal, authorization, bought.csrf_key)
        if len(self._known) > MOST_REMEMBERED:
            self._known.popitem(last=False)
        return found
