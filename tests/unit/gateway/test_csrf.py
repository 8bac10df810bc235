"""What a browser does with a cookie is let through when its user meant it."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from services.gateway import config
from services.gateway.clients import Clients, parse_networks
from services.gateway.cors import Cors
from services.gateway.csrf import CsrfStage
from services.gateway.exchange import Exchange
from services.gateway.routes import split_version
from shared.csrf import new_csrf_token
from shared.errors import CsrfFailed
from tests.unit.gateway.exchanges import exchange

KEY = b"k" * 64
GOOD = new_csrf_token(KEY)
HOST = "tasks.example"
LOGIN = "/api/v1/auth/session-login"
NO_CORS = Cors(config.Cors())
APP = "https://app.example"
WITH_COOKIES = Cors(config.Cors(allow_origins=(APP,), allow_credentials=True))
WITHOUT_COOKIES = Cors(config.Cors(allow_origins=(APP,)))
ANY = Cors(config.Cors(allow_origins=("*",)))


def refused(
    request: Exchange,
    *,
    cors: Cors = NO_CORS,
    production: bool = True,
    key: bytes | None = KEY,
    trusted: str = "",
) -> bool:
    stage = CsrfStage(Clients(parse_networks(trusted)), CollectorRegistry(), production=production)
    split_version(request)
    request.csrf_key = key
    try:
        stage.check(request, cors)
    except CsrfFailed:
        return True
    return False


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "PROPFIND"])
@pytest.mark.parametrize(
    "token",
    ["", "x", GOOD[:-1], GOOD + "A", GOOD.swapcase(), new_csrf_token(b"o" * 64), "\xe9" * 64,
     [GOOD, GOOD], "x" * 100_000],
    ids=["empty", "short", "cut", "longer", "edited", "of-another", "latin-1", "twice", "huge"],
)  # fmt: skip
def test_what_changes_anything_needs_the_sessions_own_token(
    method: str, token: str | list[str]
) -> None:
    assert refused(exchange(method=method, host=HOST))
    assert refused(exchange(method=method, host=HOST, x_csrf_token=token))
    assert not refused(exchange(method=method, host=HOST, x_csrf_token=GOOD))


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_what_only_reads_needs_none(method: str) -> None:
    assert not refused(exchange(method=method, host=HOST, sec_fetch_site="cross-site"))


def test_who_has_no_cookie_needs_none() -> None:
    request = exchange(method="POST", host=HOST, sec_fetch_site="cross-site", origin="null")
    assert not refused(request, key=None)


ORIGINS = [
    ({}, True),
    ({"sec_fetch_site": "same-origin"}, True),
    ({"sec_fetch_site": "same-origin", "origin": f"https://{HOST}"}, True),
    ({"sec_fetch_site": "none"}, True),
    ({"sec_fetch_site": "same-site"}, False),
    ({"sec_fetch_site": "cross-site"}, False),
    ({"sec_fetch_site": "cross-site", "origin": f"https://{HOST}"}, False),
    ({"sec_fetch_site": "junk"}, False),
    ({"origin": f"https://{HOST}"}, True),
    ({"origin": f"https://{HOST.upper()}:443"}, True),
    ({"origin": f"http://{HOST}"}, False),
    ({"origin": f"https://{HOST}:8443"}, False),
    ({"origin": f"https://{HOST}.evil.example"}, False),
    ({"origin": f"https://evil.{HOST}"}, False),
    ({"origin": "https://evil.example"}, False),
    ({"origin": "null"}, False),
    ({"origin": ""}, False),
    ({"origin": HOST}, False),
    ({"origin": [f"https://{HOST}", "https://evil.example"]}, False),
]


@pytest.mark.parametrize(("headers", "passes"), ORIGINS)
def test_a_page_of_another_site_is_refused_even_with_a_token(
    headers: dict[str, str | list[str]], passes: bool
) -> None:
    change = exchange(method="POST", headers=headers, host=HOST, x_csrf_token=GOOD)
    assert refused(change) is not passes


@pytest.mark.parametrize(("headers", "passes"), ORIGINS)
def test_no_other_site_logs_a_browser_in(headers: dict[str, str | list[str]], passes: bool) -> None:
    """Before the login there is no session, and so no token."""
    login = exchange(LOGIN, method="POST", headers=headers, host=HOST)
    assert refused(login, key=None) is not passes
    assert refused(login) is not passes


@pytest.mark.parametrize(("headers", "passes"), ORIGINS)
def test_no_other_site_opens_a_websocket(headers: dict[str, str | list[str]], passes: bool) -> None:
    request = exchange(headers=headers, host=HOST, upgrade="websocket")
    assert refused(request) is not passes


def test_in_development_there_is_no_tls() -> None:
    request = exchange(
        method="POST", host="127.0.0.1:8080", origin="http://127.0.0.1:8080", x_csrf_token=GOOD
    )
    assert not refused(request, production=False)
    assert refused(request)


def test_behind_a_trusted_proxy_the_host_is_the_one_it_names() -> None:
    request = exchange(
        method="POST",
        peer="10.0.0.1",
        host="inner:8080",
        origin=f"https://{HOST}",
        x_forwarded_host=HOST,
        x_csrf_token=GOOD,
    )
    assert not refused(request, trusted="10.0.0.0/8")
    assert refused(request)


@pytest.mark.parametrize(
    ("cors", "passes"), [(WITH_COOKIES, True), (WITHOUT_COOKIES, False), (ANY, False)]
)
def test_a_site_that_may_use_cookies_may_act_with_a_token(cors: Cors, passes: bool) -> None:
    request = exchange(
        method="POST", host=HOST, origin=APP, sec_fetch_site="same-site", x_csrf_token=GOOD
    )
    assert refused(request, cors=cors) is not passes
    request = exchange(method="POST", host=HOST, origin=APP, sec_fetch_site="same-site")
    assert refused(request, cors=cors)
    request = exchange(method="POST", host=HOST, origin=f"{APP}.evil.example", x_csrf_token=GOOD)
    assert refused(request, cors=cors)
