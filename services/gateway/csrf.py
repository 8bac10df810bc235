"""The CSRF stage: what a browser does by itself with a cookie has to be meant by its user.

Browsers send cookies with requests that other pages make. So what changes anything needs a token
that only our own pages can have read, and must not come from a page of another site. Nothing is
forwarded before that is known; bearer tokens and API keys are never sent unasked, and need neither.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from services.gateway.clients import Clients
from services.gateway.cookies import LOGIN_PATHS, SESSION_LOGIN
from services.gateway.cors import Cors
from services.gateway.exchange import Exchange
from shared.csrf import is_csrf_token
from shared.errors import CsrfFailed
from shared.tally import Tally

# RFC 9110 section 9.2.1.
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_DEFAULT_PORTS = {b"http": b":80", b"https": b":443"}


class CsrfStage:
    """Refuses requests that the user of a browser may not have meant."""

    def __init__(self, clients: Clients, registry: CollectorRegistry, *, production: bool) -> None:
        self._clients = clients
        # Without TLS there is no cookie in production, so no page of ours is without it.
        self._schemes = (b"https",) if production else (b"https", b"http")
        self._refusals = Tally(
            "csrf_refusals_total",
            "Requests by cookie refused for their origin or their token",
            ("reason",),
            registry=registry,
        )
        # From 0 on, or the first refusal would be no increase.
        for reason in ("origin", "token"):
            self._refusals.cell((reason,))

    def check(self, exchange: Exchange, cors: Cors) -> None:
        """Raises CsrfFailed. To be called once the identity is known."""
        if exchange.csrf_key is None and exchange.service_path != SESSION_LOGIN:
            return
        changes = exchange.method not in _SAFE
        # A WebSocket begins with a GET, and CORS does not keep other sites from it.
        if not changes and b"upgrade" not in exchange.fields:
            return
        if not self._is_from_our_pages(exchange, cors):
            self._refusals.add(("origin",))
            raise CsrfFailed("The request comes from a page of another site")
        # Before a login there is no session whose token one could have.
        if not changes or exchange.service_path in LOGIN_PATHS:
            return
        given = exchange.header_values(b"x-csrf-token")
        key = exchange.csrf_key
        if key is None or len(given) != 1 or not is_csrf_token(key, given[0].decode("latin-1")):
            self._refusals.add(("token",))
            raise CsrfFailed

    def _is_from_our_pages(self, exchange: Exchange, cors: Cors) -> bool:
        """What the browser says of the page that asks; no page can make it lie.

        Who says nothing is no browser of the last years, and is held to the token alone.
        """
        origins = exchange.header_values(b"origin")
        if len(origins) > 1:
            return False
        if origins and cors.trusts(origins[0]):
            return True
        site = exchange.header(b"sec-fetch-site")
        if site is not None:
            return site in (b"same-origin", b"none")
        return not origins or self._is_own(exchange, origins[0])

    def _is_own(self, exchange: Exchange, origin: bytes) -> bool:
        """Whether `origin` is the host that was asked, behind a trusted proxy the one it names."""
        host = exchange.header(b"host")
        if self._clients.trusts(exchange.peer):
            host = exchange.header(b"x-forwarded-host") or host
        scheme, separator, named = origin.lower().partition(b"://")
        if host is None or not separator or scheme not in self._schemes:
            return False
        port = _DEFAULT_PORTS[scheme]
        return named.removesuffix(port) == host.lower().removesuffix(port)
