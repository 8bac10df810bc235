"""The identity stage: at most one credential, and a principal where it is good."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from services.gateway.config import Access
from services.gateway.exchange import Exchange
from services.gateway.identity.api_keys import ApiKeys, Exchanger
from services.gateway.identity.revoked import Revoked
from shared.errors import BadRequest, InvalidToken, Unauthorized
from shared.identity import AccessTokenVerifier, Principal, bearer_token
from shared.tally import Cell, Tally

# Cookies that carry a session: `session` in development, the other one over TLS.
SESSION_COOKIES = frozenset({b"session", b"__Host-session"})


_HIT, _MISS = ("hit",), ("miss",)


class IdentityStage:
    """Turns the request's credential into a principal."""

    def __init__(
        self,
        verifier: AccessTokenVerifier,
        revoked: Revoked,
        registry: CollectorRegistry,
        auth: Exchanger | None = None,
    ) -> None:
        self._verifier = verifier
        self._revoked = revoked
        self._lookups = Tally(
            "token_cache_lookups_total",
            "Bearer tokens by whether they were verified before",
            ("result",),
            registry=registry,
        )
        self._key_lookups = Tally(
            "api_key_lookups_total",
            "API keys by whether their token was known; junk fails by its checksum",
            ("result",),
            registry=registry,
        )
        self._api_keys = ApiKeys(auth, verifier, revoked, self._key_lookups)

    def stands(self, principal: Principal) -> bool:
        """Whether who was established before is known not to have been revoked since."""
        return self._revoked.is_fresh and not self._revoked.covers(principal)

    def found(self, exchange: Exchange) -> Cell | None:
        """Where it is counted that the request's credential was known; None for one without."""
        if exchange.principal is None:
            return None
        lookups = self._lookups if exchange.authorization is None else self._key_lookups
        return lookups.cell(_HIT)

    async def establish(self, exchange: Exchange, access: Access) -> None:
        """Sets `principal`, and `authorization` where a key stands for a token.

        Where `access` is none no credential is looked at.

        Raises BadRequest for several credentials, Unauthorized for a missing one, InvalidToken for
        a bad or revoked one, optional access or not, and ServiceUnavailable when no key was ever
        fetched or nobody can tell what is revoked.
        """
        if access is Access.NONE:
            return
        authorization = _one_credential(exchange)
        if authorization is not None:
            text = authorization.decode("latin-1")
            # Verified tokens are found by their text, so the usual spelling needs no parsing.
            token = text[7:] if text.startswith("Bearer ") else bearer_token(text)
            principal = self._verifier.cached(token)
            self._lookups.add(_MISS if principal is None else _HIT)
            if principal is None:
                principal = await self._verifier.verify(bearer_token(text))
            self._revoked.check()
            if self._revoked.covers(principal):
                raise InvalidToken
            exchange.principal = principal
        elif b"x-api-key" in exchange.fields:
            self._revoked.check()
            exchanged = await self._api_keys.find(exchange.fields[b"x-api-key"])
            exchange.principal = exchanged.principal
            exchange.authorization = exchanged.authorization
        elif access is Access.REQUIRED:
            raise Unauthorized


def _one_credential(exchange: Exchange) -> bytes | None:
    """The Authorization header, when there is one. Raises BadRequest for several credentials."""
    fields = exchange.fields
    authorization = fields.get(b"authorization")
    if (
        len(fields) == len(exchange.headers)
        and b"x-api-key" not in fields
        and b"cookie" not in fields
    ):
        return authorization
    credentials = len(exchange.header_values(b"authorization"))
    keys = len(exchange.header_values(b"x-api-key"))
    sessions = sum(map(has_session_cookie, exchange.header_values(b"cookie")))
    if credentials + keys + sessions > 1:
        raise BadRequest("More than one credential was sent")
    return authorization


def has_session_cookie(value: bytes) -> bool:
    """Whether a Cookie header carries a session."""
    return any(pair.partition(b"=")[0].strip() in SESSION_COOKIES for pair in value.split(b";"))
