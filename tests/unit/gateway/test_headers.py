"""What crosses the gateway in either direction."""

from __future__ import annotations

import pytest

from services.gateway.clients import Clients, parse_networks
from services.gateway.config import Access
from services.gateway.exchange import Exchange, Headers
from services.gateway.headers import (
    answer_headers,
    forwarded_headers,
    join_vary,
    kept_private,
    security_headers,
)
from services.gateway.routes import split_version
from tests.unit.gateway.exchanges import exchange

NOBODY = Clients(())
PROXIES = Clients(parse_networks("10.0.0.0/8"))


def forwarded(
    request: Exchange, access: Access = Access.REQUIRED, clients: Clients = NOBODY
) -> dict[bytes, bytes]:
    return dict(forwarded_headers(request, access, clients))


@pytest.mark.parametrize(
    "name",
    [
        "x-user-id", "x-user", "x-auth-user", "x-consumer-id", "x-tasklane-user",
        "x-forwarded-user", "x-forwarded-email", "x-forwarded-prefix", "x-real-ip",
        "true-client-ip", "forwarded", "remote-user", "x-remote-user", "x-original-url",
        "x-rewrite-url", "x-http-method-override", "x-api-key", "x-role", "x-csrf-token",
        "x-client-address", "x-envoy-external-address",
    ],
)  # fmt: skip
def test_what_looks_like_identity_is_stripped(name: str) -> None:
    request = exchange(headers={name: "spoofed"})
    assert b"spoofed" not in forwarded(request).values()


@pytest.mark.parametrize(
    "name",
    ["connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "host",
     "content-length", "expect", "proxy-authorization", "proxy-connection"],
)  # fmt: skip
def test_what_belongs_to_one_hop_is_stripped(name: str) -> None:
    assert name.encode() not in forwarded(exchange(headers={name: "x"}))


def test_what_connection_names_is_stripped_but_not_what_we_add() -> None:
    request = exchange(
        connection="close, X-Secret , x-forwarded-for, x-request-id", x_secret="a", x_other="b"
    )
    found = forwarded(request)
    assert b"x-secret" not in found
    assert found[b"x-other"] == b"b"
    assert found[b"x-forwarded-for"] == b"192.0.2.7"


def test_end_to_end_fields_pass_in_order_and_number() -> None:
    request = exchange(
        accept="a", traceparent="00-1-2-01", x_custom=["1", "2"], authorization="Bearer t"
    )
    found = forwarded_headers(request, Access.REQUIRED, NOBODY)
    assert found[:5] == [
        (b"accept", b"a"),
        (b"traceparent", b"00-1-2-01"),
        (b"x-custom", b"1"),
        (b"x-custom", b"2"),
        (b"authorization", b"Bearer t"),
    ]


def test_a_route_without_identity_passes_none_on() -> None:
    request = exchange(authorization="Bearer t", cookie="a=b", x_api_key="k")
    found = forwarded(request, Access.NONE)
    assert found.keys() == {
        b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-client-address",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("cookie", "left"),
    [
        (b"session=s", None),
        (b"__Host-session=s", None),
        (b"a=1; session=s; b=2", b"a=1; b=2"),
        (b"sessions=1; xsession=2", b"sessions=1; xsession=2"),
        (b" session = s ;a=1", b"a=1"),
    ],
)
def test_session_cookies_stay_here(cookie: bytes, left: bytes | None) -> None:
    assert forwarded(exchange(cookie=cookie.decode())).get(b"cookie") == left


@pytest.mark.parametrize(
    ("path", "access", "left"),
    [
        ("/api/v2/tasks", Access.REQUIRED, b"theme=dark"),
        ("/api/v2/tasks", Access.NONE, None),
        ("/api/v2/auth/profile", Access.OPTIONAL, b"theme=dark"),
        ("/api/v2/auth/login", Access.OPTIONAL, b"device=d; theme=dark; __Host-device=h"),
        ("/api/v2/auth/session-login", Access.NONE, b"device=d; __Host-device=h"),
    ],
)
def test_a_device_cookie_goes_to_a_login_only(
    path: str, access: Access, left: bytes | None
) -> None:
    cookie = "session=s; device=d; theme=dark; __Host-device=h"
    request = exchange(path, cookie=cookie)
    split_version(request)
    assert forwarded(request, access).get(b"cookie") == left


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (None, b"no-store"),
        (b"no-store", b"no-store"),
        (b"private, no-cache", b"private, no-cache"),
        (b"Private", b"Private"),
        (b"public, max-age=300, s-maxage=9", b"private, max-age=300"),
        (b"max-age=300", b"private, max-age=300"),
    ],
)
def test_an_answer_to_a_session_is_kept_by_no_shared_cache(said: bytes | None, kept: bytes) -> None:
    headers = [] if said is None else [(b"cache-control", said)]
    assert [value for _, value in kept_private(headers)] == [kept]


def test_forwarding_fields_of_an_untrusted_peer_are_replaced() -> None:
    request = exchange(
        host="api.example",
        x_forwarded_for="6.6.6.6",
        x_forwarded_proto="https",
        x_forwarded_host="evil.example",
    )
    found = forwarded(request)
    assert found[b"x-forwarded-for"] == b"192.0.2.7"
    assert found[b"x-forwarded-proto"] == b"http"
    assert found[b"x-forwarded-host"] == b"api.example"


def test_forwarding_fields_of_a_trusted_peer_are_carried_on() -> None:
    request = exchange(
        peer="10.0.0.1",
        host="inner",
        x_forwarded_for=["198.51.100.9", "10.0.0.2"],
        x_forwarded_proto="https",
        x_forwarded_host="api.example",
    )
    PROXIES.locate(request)
    found = forwarded(request, clients=PROXIES)
    assert found[b"x-forwarded-for"] == b"198.51.100.9, 10.0.0.2, 10.0.0.1"
    assert found[b"x-client-address"] == b"198.51.100.9"
    assert found[b"x-forwarded-proto"] == b"https"
    assert found[b"x-forwarded-host"] == b"api.example"


def test_names_that_clients_invent_are_not_remembered_for_ever() -> None:
    from services.gateway import headers  # noqa: PLC0415 - to look at its memory

    for number in range(10_000):
        forwarded(exchange(headers={f"x-n{number}": "1"}))
    assert len(headers._passes) <= 2_048


def test_answers_carry_security_fields_and_one_vary() -> None:
    request = exchange()
    request.answer_headers = [(b"x-request-id", b"r")]
    request.vary = b"Origin, Accept"
    own: Headers = [(b"content-type", b"application/json"), (b"vary", b"accept, Cookie")]
    found = answer_headers(request, security_headers(production=True), own)
    assert [value for name, value in found if name == b"vary"] == [b"accept, Cookie, Origin"]
    assert dict(found) == {
        b"content-type": b"application/json",
        b"x-content-type-options": b"nosniff",
        b"referrer-policy": b"no-referrer",
        b"strict-transport-security": b"max-age=31536000; includeSubDomains",
        b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
        b"x-frame-options": b"DENY",
        b"x-request-id": b"r",
        b"vary": b"accept, Cookie, Origin",
    }


def test_a_page_with_a_content_policy_keeps_it() -> None:
    own = [(b"content-security-policy", b"default-src 'self'")]
    found = answer_headers(exchange(), security_headers(production=False), own)
    assert [value for name, value in found if name == b"content-security-policy"] == [
        b"default-src 'self'"
    ]
    assert b"strict-transport-security" not in dict(found)


@pytest.mark.parametrize(
    ("one", "other", "joined"),
    [
        (b"Accept", b"", b"Accept"),
        (b"", b"Accept", b"Accept"),
        (b"Accept", b"accept, API-Version", b"Accept, API-Version"),
        (b"*", b"Accept", b"*"),
        (b",Accept ,", b"Origin", b"Accept, Origin"),
    ],
)
def test_join_vary(one: bytes, other: bytes, joined: bytes) -> None:
    assert join_vary(one, other) == joined
