"""Cross-origin reads (the Fetch standard's CORS protocol), for browsers of listed origins."""

from __future__ import annotations

from services.gateway import config
from services.gateway.exchange import Answer, Exchange, Headers
from services.gateway.headers import join_vary


class Cors:
    """Puts CORS fields on every answer to an allowed origin, and answers preflights."""

    def __init__(self, rules: config.Cors) -> None:
        self._any = "*" in rules.allow_origins
        self._origins = frozenset(origin.encode() for origin in rules.allow_origins)
        self.enabled = bool(rules.allow_origins)
        self._with_cookies = rules.allow_credentials
        self._on_all: Headers = [
            (b"access-control-expose-headers", ", ".join(rules.expose_headers).encode())
        ]
        if rules.allow_credentials:
            self._on_all.append((b"access-control-allow-credentials", b"true"))
        self._on_preflight: Headers = [
            (b"access-control-allow-methods", ", ".join(rules.allow_methods).encode()),
            (b"access-control-allow-headers", ", ".join(rules.allow_headers).encode()),
            (b"access-control-max-age", b"%d" % rules.max_age),
        ]

    def trusts(self, origin: bytes) -> bool:
        """Whether pages of `origin` may act with their readers' cookies."""
        return self._with_cookies and origin in self._origins

    def welcome(self, exchange: Exchange) -> Answer | None:
        """Adds the fields that are due; returns the whole answer where this was a preflight."""
        if not self.enabled:
            return None
        if not self._any:
            # The answer depends on the origin, also for those who get no permission.
            exchange.vary = join_vary(exchange.vary, b"Origin")
        origin = exchange.header(b"origin")
        if origin is None or not (self._any or origin in self._origins):
            return None
        allowed = b"*" if self._any else origin
        exchange.answer_headers.append((b"access-control-allow-origin", allowed))
        if (
            exchange.method == "OPTIONS"
            and exchange.header(b"access-control-request-method") is not None
        ):
            return Answer(204, [*self._on_preflight, *self._on_all])
        exchange.answer_headers += self._on_all
        return None
