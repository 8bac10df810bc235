"""Which header fields cross the gateway, and which it adds."""

from __future__ import annotations

from services.gateway.clients import Clients
from services.gateway.config import Access
from services.gateway.cookies import LOGIN_PATHS, cookies_for_service
from services.gateway.exchange import Exchange, Headers

# Framing and connection belong to one hop (RFC 9110 section 7.6.1); the data plane sets its own.
HOP_BY_HOP = frozenset(
    {
        b"connection", b"content-length", b"expect", b"host", b"http2-settings", b"keep-alive",
        b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"te", b"trailer",
        b"transfer-encoding", b"upgrade",
    }
)  # fmt: skip

# What a service could take for the gateway's word on who is calling, whence, or for which path.
# A client's own are never passed on; the gateway's replace them.
IDENTITY_PREFIXES = (
    b"x-auth-", b"x-authenticated-", b"x-authentik-", b"x-client-", b"x-consumer-",
    b"x-credential-", b"x-forwarded-", b"x-goog-authenticated-", b"x-jwt-", b"x-ms-client-",
    b"x-remote-", b"x-tasklane-", b"x-token-", b"x-user-", b"x-webauth-",
)  # fmt: skip
IDENTITY_NAMES = frozenset(
    {
        b"client-ip", b"forwarded", b"remote-addr", b"remote-user", b"true-client-ip",
        b"cf-connecting-ip", b"fastly-client-ip", b"x-accel-redirect", b"x-api-key",
        b"x-cluster-client-ip", b"x-csrf-token", b"x-email", b"x-envoy-external-address",
        b"x-groups", b"x-http-method", b"x-http-method-override", b"x-method-override",
        b"x-original-url", b"x-originating-ip", b"x-real-ip", b"x-request-id", b"x-rewrite-url",
        b"x-role", b"x-roles", b"x-scopes", b"x-subject", b"x-tenant", b"x-userinfo", b"x-user",
        b"x-username",
    }
)  # fmt: skip

# What the gateway says itself, or what tells how a service is built.
NOT_RELAYED = frozenset(
    {
        b"access-control-allow-credentials", b"access-control-allow-headers",
        b"access-control-allow-methods", b"access-control-allow-origin",
        b"access-control-expose-headers", b"access-control-max-age", b"api-version",
        b"deprecation", b"proxy-status", b"ratelimit", b"ratelimit-policy",
        b"referrer-policy", b"server", b"strict-transport-security", b"sunset", b"via",
        b"x-content-type-options", b"x-powered-by", b"x-ratelimit-limit",
        b"x-ratelimit-remaining", b"x-ratelimit-reset", b"x-request-id",
    }
)  # fmt: skip

# Names seen with whether they may pass; clients choose the names, so the number is bounded.
_passes: dict[bytes, bool] = {}
_NAMES_REMEMBERED = 2_048


def forwarded_headers(exchange: Exchange, access: Access, clients: Clients) -> Headers:
    """The end-to-end request fields, without spoofed ones, and the gateway's own but for the id.

    On a route that looks at no identity, none is passed on; a login gets its device cookie.
    """
    kept: Headers = []
    for field in exchange.headers:
        name = field[0]
        passes = _passes.get(name)
        if passes is None:
            passes = _judge(name)
        if passes:
            kept.append(field)
    fields = exchange.fields
    if b"connection" in fields:
        listed = _listed(exchange.header_values(b"connection"))
        kept = [field for field in kept if field[0] not in listed]
    named = access is not Access.NONE
    if not named:
        kept = [field for field in kept if field[0] != b"authorization"]
    if b"cookie" in fields:
        login = exchange.service_path in LOGIN_PATHS
        kept = cookies_for_service(kept, login=login, others=named)
    if exchange.authorization is not None:
        kept.append((b"authorization", exchange.authorization))
    kept += _provenance(exchange, fields.get(b"host", b""), clients)
    return kept


def _judge(name: bytes) -> bool:
    passes = not (
        name in HOP_BY_HOP or name in IDENTITY_NAMES or name.startswith(IDENTITY_PREFIXES)
    )
    if len(_passes) >= _NAMES_REMEMBERED:
        _passes.clear()
    _passes[name] = passes
    return passes


def _listed(connection: list[bytes]) -> frozenset[bytes]:
    return frozenset(name.strip().lower() for name in b",".join(connection).split(b","))


def _provenance(exchange: Exchange, host: bytes, clients: Clients) -> Headers:
    """X-Forwarded-For, -Proto and -Host; what a trusted proxy said of them is carried on.

    X-Client-Address is what the gateway makes of it all.
    """
    peer = exchange.peer
    client = (b"x-client-address", exchange.client_address.encode())
    if not clients.trusts(peer):
        return [
            client,
            (b"x-forwarded-for", peer.encode()),
            (b"x-forwarded-proto", b"http"),
            (b"x-forwarded-host", host),
        ]
    before = exchange.header_values(b"x-forwarded-for")
    said = exchange.header(b"x-forwarded-proto")
    return [
        client,
        (b"x-forwarded-for", b", ".join([*before, peer.encode()])),
        (b"x-forwarded-proto", said if said in (b"http", b"https") else b"http"),
        (b"x-forwarded-host", exchange.header(b"x-forwarded-host") or host),
    ]


def security_headers(*, production: bool) -> Headers:
    """Fields on every answer; RFC 6797 HSTS only where TLS is in front."""
    headers: Headers = [
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
    ]
    if production:
        headers.append((b"strict-transport-security", b"max-age=31536000; includeSubDomains"))
    return headers


def kept_private(headers: Headers) -> Headers:
    """`headers` of an answer to a session, which no cache may give to anybody else.

    A service that says nothing of caching does not know that it answers a browser's cookie.
    """
    said = b", ".join(value for name, value in headers if name == b"cache-control")
    directives = [one.strip() for one in said.lower().split(b",") if one.strip()]
    if b"no-store" in directives or b"private" in directives:
        return headers
    kept = [one for one in directives if one != b"public" and not one.startswith(b"s-maxage")]
    value = b", ".join([b"private", *kept]) if directives else b"no-store"
    others = [field for field in headers if field[0] != b"cache-control"]
    return [*others, (b"cache-control", value)]


# For answers that are data. A service's own page, or ours, may bring its own policy.
DOCUMENT_DEFAULTS: Headers = [
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"x-frame-options", b"DENY"),
]


def answer_headers(exchange: Exchange, security: Headers, own: Headers) -> Headers:
    """The fields of an answer: its own, then those of the stages; one Vary out of all."""
    headers: Headers = []
    vary, framed = exchange.vary, False
    for field in own:
        name = field[0]
        if name == b"vary":
            vary = join_vary(field[1], vary)
            continue
        if name == b"content-security-policy":
            framed = True
        headers.append(field)
    headers += security
    if not framed:
        headers += DOCUMENT_DEFAULTS
    headers += exchange.answer_headers
    if vary:
        headers.append((b"vary", vary))
    return headers


def join_vary(one: bytes, other: bytes) -> bytes:
    """One Vary field out of two, each name once (RFC 9110 section 12.5.5)."""
    if not one or not other:
        return one or other
    names: dict[bytes, bytes] = {}
    for item in (one + b"," + other).split(b","):
        name = item.strip()
        if name:
            names.setdefault(name.lower(), name)
    return b"*" if b"*" in names else b", ".join(names.values())
