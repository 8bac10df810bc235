"""The identity stage: at most one credential, and a principal where it is good."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry

from services.gateway.config import Access
from services.gateway.cookies import LOGIN_PATHS, cookie_values
from services.gateway.exchange import Exchange
from services.gateway.headers import join_vary
from services.gateway.identity.exchanges import API_KEY, Exchanger, Exchanges, Kind
from services.gateway.identity.revoked import Revoked
from services.gateway.identity.sessions import SessionEnded
from shared.cookies import SESSION_SECRET, Cookies
from shared.errors import BadRequest, InvalidToken, Unauthorized
from shared.identity import AccessTokenVerifier, Principal, bearer_token
from shared.tally import Cell, Tally

_HIT, _MISS = ("hit",), ("miss",)


class IdentityStage:
    """Turns the request's credential into a principal."""

    def __init__(
        self,
        verifier: AccessTokenVerifier,
        revoked: Revoked,
        registry: CollectorRegistry,
        auth: Exchanger | None = None,
        *,
        cookies: Cookies,
    ) -> None:
        self._verifier = verifier
        self._revoked = revoked
        # Whether who was established before is known not to have been revoked since.
        self.stands: Callable[[Principal], bool] = revoked.spares
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
        session_lookups = Tally(
            "session_lookups_total",
            "Session cookies by whether their token was known; junk fails by its checksum",
            ("result",),
            registry=registry,
        )
        self._cookie = cookies.session.encode()
        session = Kind(
            "session", SESSION_SECRET.fits, lambda: SessionEnded(cookies.clear_session())
        )
        self._api_keys = Exchanges(API_KEY, auth, verifier, revoked, self._key_lookups)
        self._sessions = Exchanges(session, auth, verifier, revoked, session_lookups)

    def found(self, exchange: Exchange) -> list[Cell]:
        """Where it is counted that the request's credential, if it has one, was known."""
        if exchange.principal is None:
            return []
        lookups = self._lookups if exchange.authorization is None else self._key_lookups
        return [lookups.cell(_HIT)]

    async def establish(self, exchange: Exchange, access: Access) -> None:
        """Sets `principal`, and `authorization` where a key or a session stands for a token.

        Where `access` is none no credential is looked at.

        Raises BadRequest for several credentials, Unauthorized for a missing one, InvalidToken for
        a bad or revoked one, optional access or not but for a login, and ServiceUnavailable when no
        key was ever fetched or nobody can tell what is revoked.
        """
        if access is Access.NONE:
            return
        authorization, session = self._one_credential(exchange)
        if authorization is not None:
            try:
                principal = await self._bearer(authorization.decode("latin-1"))
            except InvalidToken:
                if exchange.service_path not in LOGIN_PATHS:
                    raise
                exchange.drop(b"authorization")
                return
            exchange.principal = principal
        elif b"x-api-key" in exchange.fields:
            self._revoked.check()
            exchanged = await self._api_keys.find(exchange.fields[b"x-api-key"])
            exchange.principal = exchanged.principal
            exchange.authorization = exchanged.authorization
        elif session is not None and await self._enter(exchange, session):
            return
        elif access is Access.REQUIRED:
            raise Unauthorized

    async def _bearer(self, text: str) -> Principal:
        """Whose token the Authorization header has. Raises InvalidToken, ServiceUnavailable."""
        # Verified tokens are found by their text, so the usual spelling needs no parsing.
        token = text[7:] if text.startswith("Bearer ") else bearer_token(text)
        principal = self._verifier.cached(token)
        self._lookups.add(_MISS if principal is None else _HIT)
        if principal is None:
            principal = await self._verifier.verify(bearer_token(text))
        self._revoked.check()
        if self._revoked.covers(principal):
            raise InvalidToken
        return principal

    async def _enter(self, exchange: Exchange, session: bytes) -> bool:
        """Whether the session gives an identity; at a login one that has ended just does not."""
        exchange.vary = join_vary(exchange.vary, b"Cookie")
        self._revoked.check()
        try:
            exchanged = await self._sessions.find(session)
        except SessionEnded:
            if exchange.service_path in LOGIN_PATHS:
                return False
            raise
        exchange.principal = exchanged.principal
        exchange.authorization = exchanged.authorization
        exchange.csrf_key = exchanged.csrf_key
        return True

    def _one_credential(self, exchange: Exchange) -> tuple[bytes | None, bytes | None]:
        """The Authorization header and the session cookie. Raises BadRequest for several.

        A cookie by the name of another environment is not ours: in production a neighbouring host
        can plant one called `session`.
        """
        fields = exchange.fields
        authorization = fields.get(b"authorization")
        if (
            len(fields) == len(exchange.headers)
            and b"x-api-key" not in fields
            and b"cookie" not in fields
        ):
            return authorization, None
        sessions = cookie_values(exchange, self._cookie)
        credentials = len(exchange.header_values(b"authorization"))
        keys = len(exchange.header_values(b"x-api-key"))
        if credentials + keys + len(sessions) > 1:
            raise BadRequest("More than one credential was sent")
        return authorization, sessions[0] if sessions else None


def offered(exchange: Exchange, cookie: bytes) -> list[str]:
    """What kinds of credential a request shows; `cookie` is the name of the session's."""
    return [
        *["bearer token"] * len(exchange.header_values(b"authorization")),
        *["API key"] * len(exchange.header_values(b"x-api-key")),
        *["session cookie"] * len(cookie_values(exchange, cookie)),
    ]
