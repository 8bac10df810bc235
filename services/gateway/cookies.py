"""The cookies that the gateway knows: a session stays here, a device goes to a login only."""

from __future__ import annotations

from services.gateway.exchange import Exchange, Headers
from shared.cookies import named_cookies

# In any environment: none of them is for a service, whatever it is called.
_SESSIONS, _DEVICES = named_cookies()

SESSION_LOGIN = "/auth/session-login"
# Below /api/vN. They begin an identity, so one that has ended is no obstacle there.
LOGIN_PATHS = frozenset({"/auth/login", SESSION_LOGIN})


def cookie_values(exchange: Exchange, name: bytes) -> list[bytes]:
    """Every value that the request gives to the cookie `name`."""
    values = []
    for field in exchange.header_values(b"cookie"):
        for pair in field.split(b";"):
            given, equals, value = pair.partition(b"=")
            if equals and given.strip(b" \t") == name:
                values.append(value.strip(b" \t"))
    return values


def cookies_for_service(headers: Headers, *, login: bool, others: bool) -> Headers:
    """`headers` with the cookies that a service may see.

    The session's never; the device's at a login; `others` on routes that pass identity on.
    """
    kept: Headers = []
    for name, value in headers:
        if name != b"cookie":
            kept.append((name, value))
            continue
        pairs = [pair.strip(b" \t") for pair in value.split(b";")]
        left = [pair for pair in pairs if _passes(pair, login=login, others=others)]
        if left:
            kept.append((b"cookie", b"; ".join(left)))
    return kept


def _passes(pair: bytes, *, login: bool, others: bool) -> bool:
    name = pair.partition(b"=")[0].strip()
    if name in _DEVICES:
        return login
    return others and name not in _SESSIONS
