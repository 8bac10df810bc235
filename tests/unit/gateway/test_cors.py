"""Cross-origin reads."""

from __future__ import annotations

from services.gateway import config
from services.gateway.cors import Cors
from tests.unit.gateway.exchanges import exchange

ONE = Cors(config.Cors(allow_origins=("https://app.example",)))
ANY = Cors(config.Cors(allow_origins=("*",)))
WITH_COOKIES = Cors(config.Cors(allow_origins=("https://app.example",), allow_credentials=True))


def test_off_without_origins() -> None:
    request = exchange(origin="https://app.example")
    assert Cors(config.Cors()).welcome(request) is None
    assert request.answer_headers == []


def test_an_allowed_origin_may_read() -> None:
    request = exchange(origin="https://app.example")
    assert ONE.welcome(request) is None
    found = dict(request.answer_headers)
    assert found[b"access-control-allow-origin"] == b"https://app.example"
    assert b"RateLimit" in found[b"access-control-expose-headers"]
    assert request.vary == b"Origin"
    assert b"access-control-allow-credentials" not in found


def test_other_origins_get_no_permission() -> None:
    for origin in (
        "https://evil.example", "http://app.example", "https://app.example.evil.example",
        "https://app.example:444", "null", "",
    ):  # fmt: skip
        request = exchange(origin=origin)
        assert ONE.welcome(request) is None
        assert request.answer_headers == []
        assert request.vary == b"Origin"


def test_any_origin_never_with_credentials() -> None:
    request = exchange(origin="https://anywhere.example")
    ANY.welcome(request)
    found = dict(request.answer_headers)
    assert found[b"access-control-allow-origin"] == b"*"
    assert b"access-control-allow-credentials" not in found
    assert request.vary == b""


def test_credentials_for_a_named_origin() -> None:
    request = exchange(origin="https://app.example")
    WITH_COOKIES.welcome(request)
    assert (b"access-control-allow-credentials", b"true") in request.answer_headers


def test_a_preflight_is_answered_here() -> None:
    request = exchange(
        method="OPTIONS", origin="https://app.example", access_control_request_method="PATCH"
    )
    answer = ONE.welcome(request)
    assert answer is not None
    assert answer.status == 204
    assert b"PATCH" in dict(answer.headers)[b"access-control-allow-methods"]
    assert b"Authorization" in dict(answer.headers)[b"access-control-allow-headers"]


def test_what_is_no_preflight_is_not() -> None:
    for request in (
        exchange(method="OPTIONS", origin="https://app.example"),
        exchange(method="OPTIONS", access_control_request_method="PATCH"),
        exchange(
            method="OPTIONS", origin="https://evil.example", access_control_request_method="PATCH"
        ),
        exchange(origin="https://app.example", access_control_request_method="PATCH"),
    ):
        assert ONE.welcome(request) is None
