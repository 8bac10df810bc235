"""A browser at the door: a real cookie jar, real gateways, real auth."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import jwt
import pytest
from aiohttp import ClientError, ClientResponse, ClientSession, CookieJar, web
from yarl import URL

from tests.integration.doors import AuthProcess, Open, echo, ends
from tests.service.auth.conftest import eventually
from tests.service.gateway.door import Door, Upstream

PASSWORD = "seven-lazy-otters-paint"
WRONG = "seven-lazy-badgers-sing"
ADA = {"name": "Ada Lovelace", "email": "ada@example.com", "password": PASSWORD}
GRACE = {"name": "Grace Hopper", "email": "grace@example.com", "password": PASSWORD}
TASKS = "/api/v2/tasks"


class Browser:
    """Keeps cookies as a browser does, and sends what one sends along with them."""

    def __init__(self, opened: Door) -> None:
        self.door = opened
        self.session = ClientSession(cookie_jar=CookieJar(unsafe=True))
        self.csrf = ""

    async def ask(self, method: str, path: str, **options: Any) -> tuple[ClientResponse, Any]:
        """The answer to one of our own pages; `csrf=None` leaves the token out."""
        headers = {"Sec-Fetch-Site": "same-origin", **options.pop("headers", {})}
        token = options.pop("csrf", self.csrf)
        if token and method != "GET":
            headers["X-CSRF-Token"] = token
        url = self.door.url + path
        async with self.session.request(method, url, headers=headers, **options) as answer:
            is_json = "json" in answer.headers.get("Content-Type", "")
            return answer, await answer.json() if is_json else await answer.text()

    async def log_in(
        self, email: str = ADA["email"], password: str = PASSWORD, **headers: str
    ) -> ClientResponse:
        body = {"email": email, "password": password}
        path = "/api/v2/auth/session-login"
        answer, grant = await self.ask("POST", path, json=body, csrf=None, headers=headers)
        if answer.status == 200:
            self.csrf = grant["csrf_token"]
        return answer

    async def status(self, method: str = "GET", path: str = TASKS, **options: Any) -> int:
        return (await self.ask(method, path, **options))[0].status

    @property
    def cookies(self) -> dict[str, str]:
        return {cookie.key: cookie.value for cookie in self.session.cookie_jar}

    def keep(self, name: str, value: str) -> None:
        """Puts a cookie into the jar as an attacker with a copy would."""
        self.session.cookie_jar.update_cookies({name: value}, URL(self.door.url + "/"))


OpenBrowser = Callable[..., Awaitable[Browser]]


@pytest.fixture
async def browse(open_door: Open) -> AsyncIterator[OpenBrowser]:
    """Opens a browser of somebody who has an account, logged in unless asked not to be."""
    async with contextlib.AsyncExitStack() as stack:

        async def one(
            opened: Door | None = None,
            person: dict[str, str] = ADA,
            *,
            logged_in: bool = True,
            **changes: Any,
        ) -> Browser:
            opened = opened or await open_door(**changes)
            await opened.ask("POST", "/api/v1/auth/register", json=person)
            browser = Browser(opened)
            await stack.enter_async_context(browser.session)
            if logged_in:
                assert (await browser.log_in(person["email"])).status == 200
            return browser

        yield one


def claims_of(request: web.Request) -> dict[str, Any]:
    token = request.headers["Authorization"].removeprefix("Bearer ")
    found: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return found


def clears(answer: ClientResponse) -> bool:
    [cookie] = answer.headers.getall("Set-Cookie")
    return cookie.startswith("session=;") and "Max-Age=0" in cookie


async def test_a_service_sees_a_token_and_nothing_of_the_cookie(
    browse: OpenBrowser, service: Upstream
) -> None:
    browser = await browse()
    browser.keep("theme", "dark")
    for method in ("GET", "POST"):
        answer, _ = await browser.ask(method, TASKS)
        assert answer.status == 200
        assert "Cookie" in answer.headers["Vary"]
        assert answer.headers["Cache-Control"] == "no-store"
        seen = service.seen[-1]
        assert claims_of(seen)["role"] == "user"
        assert seen.headers["Cookie"] == "theme=dark"
        assert "X-CSRF-Token" not in seen.headers
        everything = str(seen.raw_headers)
        assert browser.cookies["session"] not in everything
        assert browser.cookies["device"] not in everything
    metrics = await browser.door.metrics()
    # One exchange with auth for all of it.
    assert 'session_lookups_total{result="miss"} 1.0' in metrics
    assert 'session_lookups_total{result="hit"} 1.0' in metrics


async def test_what_changes_anything_is_not_forwarded_without_the_token(
    browse: OpenBrowser, service: Upstream
) -> None:
    browser = await browse()
    other = await browse(browser.door, GRACE)
    before_login = browser.csrf
    await browser.log_in()
    for token in (None, "junk", other.csrf, before_login):
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            answer, body = await browser.ask(method, TASKS, csrf=token)
            assert answer.status == 403
            assert body["error"]["code"] == "CSRF_FAILED"
            assert "Set-Cookie" not in answer.headers
    assert await browser.status("POST", headers={"Sec-Fetch-Site": "cross-site"}) == 403
    assert service.seen == []
    _, given = await browser.ask("GET", "/api/v2/auth/csrf")
    for token in (browser.csrf, given["csrf_token"]):
        assert await browser.status("POST", csrf=token) == 200
    metrics = await browser.door.metrics()
    assert 'csrf_refusals_total{reason="token"} 16.0' in metrics
    assert 'csrf_refusals_total{reason="origin"} 1.0' in metrics


async def test_no_other_site_logs_a_browser_in_through_the_door(browse: OpenBrowser) -> None:
    browser = await browse(logged_in=False)
    for headers in (
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://neighbour.example"},
    ):
        answer = await browser.log_in(**headers)
        assert answer.status == 403
    assert "session" not in browser.cookies
    assert (await browser.log_in(**{"Sec-Fetch-Site": "same-origin"})).status == 200


async def current(browser: Browser) -> str:
    """The id of the browser's own session."""
    _, own = await browser.ask("GET", "/api/v2/auth/sessions")
    return next(str(one["id"]) for one in own["sessions"] if one["current"])


async def test_an_end_from_elsewhere_is_felt_at_all_gateways_and_clears_the_cookie(
    browse: OpenBrowser, open_door: Open
) -> None:
    browser, phone = await browse(), await browse(await open_door())
    copy = await browse(await open_door(), logged_in=False)
    copy.keep("session", browser.cookies["session"])
    assert [await browser.status(), await copy.status()] == [200, 200]
    path = f"/api/v2/auth/sessions/{await current(browser)}"
    assert await phone.status("DELETE", path) == 204
    for one in (browser, copy):

        async def out(one: Browser = one) -> bool:
            return await one.status() == 401

        await eventually(out)
        assert "session" not in one.cookies
    assert await phone.status() == 200


async def test_an_ended_session_is_refused_and_no_obstacle_to_a_login(
    browse: OpenBrowser, service: Upstream
) -> None:
    browser = await browse()
    old = browser.cookies["session"]
    assert await browser.status("POST", "/api/v2/auth/session-logout") == 204
    assert "session" not in browser.cookies
    for value in (old, "junk", ""):
        for path in (TASKS, "/api/v2/auth/profile", "/api/rate-limit-status"):

            async def refused(path: str = path, value: str = value) -> bool:
                headers = {"Cookie": f"session={value}"}
                answer, _ = await browser.door.get(path, headers=headers)
                return answer.status == 401 and clears(answer)

            await eventually(refused)
    browser.keep("session", old)
    assert (await browser.log_in()).status == 200
    assert browser.cookies["session"] != old
    assert await browser.status() == 200


async def test_a_second_login_ends_the_session_before_it(browse: OpenBrowser) -> None:
    browser = await browse()
    old = browser.cookies["session"]
    assert await browser.status() == 200
    assert (await browser.log_in()).status == 200
    stale = await browse(browser.door, logged_in=False)
    stale.keep("session", old)

    async def refused() -> bool:
        stale.keep("session", old)
        return await stale.status() == 401

    await eventually(refused)
    assert await browser.status() == 200


async def test_a_password_change_gives_another_cookie(browse: OpenBrowser) -> None:
    browser = await browse()
    old = browser.cookies["session"]
    body = {"current_password": PASSWORD, "new_password": "eight-wise-herons-sing"}
    assert await browser.status("POST", "/api/v2/auth/password", json=body) == 204
    assert browser.cookies["session"] != old
    assert await browser.status("POST", "/api/v2/tasks") == 403
    _, given = await browser.ask("GET", "/api/v2/auth/csrf")
    assert await browser.status("POST", "/api/v2/tasks", csrf=given["csrf_token"]) == 200


async def test_two_browsers_never_get_each_others_answers(
    browse: OpenBrowser, service: Upstream
) -> None:
    async def tell(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.01)
        headers = {"Cache-Control": "public, max-age=300", "ETag": '"same"'}
        return web.json_response({"sub": claims_of(request)["sub"]}, headers=headers)

    service.answers["/v2/tasks"] = tell
    ada = await browse()
    grace = await browse(ada.door, GRACE)
    owners = [(await one.ask("GET", "/api/v2/auth/profile"))[1]["id"] for one in (ada, grace)]
    answers = await asyncio.gather(*(one.ask("GET", TASKS) for one in (ada, grace) * 10))
    assert [body["sub"] for _, body in answers] == owners * 10
    for answer, _ in answers:
        assert answer.headers["Cache-Control"] == "private, max-age=300"
        assert "Cookie" in answer.headers["Vary"]


async def test_more_than_one_credential_is_refused(browse: OpenBrowser) -> None:
    browser = await browse()
    secret = browser.cookies["session"]
    _, grant = await browser.door.ask(
        "POST", "/api/v2/auth/login", json={"email": ADA["email"], "password": PASSWORD}
    )
    bearer = {"Authorization": f"Bearer {grant['access_token']}"}
    for headers in (
        bearer,
        {"X-API-Key": "tl_live_x"},
        {"Cookie": f"session={secret}; session={secret}"},
    ):
        sent = {"Cookie": f"session={secret}", **headers}
        answer, body = await browser.door.get(TASKS, headers=sent)
        assert (answer.status, body["error"]["code"]) == (400, "BAD_REQUEST")


async def test_in_production_only_the_name_that_no_neighbour_can_plant_counts(
    open_door: Open, auth_database_url: str
) -> None:
    auth = AuthProcess(auth_database_url, "production")
    await auth.start()
    opened = await open_door(environment="production", auth_upstream=auth.url)
    await opened.ask("POST", "/api/v1/auth/register", json=ADA)
    body = {"email": ADA["email"], "password": PASSWORD}
    answer, grant = await opened.ask("POST", "/api/v1/auth/session-login", json=body)
    [cookie] = [c for c in answer.headers.getall("Set-Cookie") if c.startswith("__Host-session=")]
    assert "; Secure" in cookie
    secret = cookie.partition(";")[0].partition("=")[2]

    async def status(cookies: str) -> int:
        return (await opened.get(TASKS, headers={"Cookie": cookies}))[0].status

    assert await status(f"__Host-session={secret}") == 200
    assert await status(f"session={secret}") == 401
    # What a neighbour plants beside it changes nothing.
    assert await status(f"session=planted; __Host-session={secret}") == 200
    headers = {"Cookie": f"__Host-session={secret}", "X-CSRF-Token": grant["csrf_token"]}
    answer, _ = await opened.ask("POST", "/api/v1/auth/session-logout", headers=headers)
    assert answer.status == 204
    assert answer.headers["Set-Cookie"].startswith("__Host-session=; Path=/; Max-Age=0;")
    assert "; Secure" in answer.headers["Set-Cookie"]
    await auth.stop()


async def test_an_open_websocket_of_a_session_that_ends_by_logout_is_closed(
    browse: OpenBrowser, service: Upstream
) -> None:
    service.answers["/v2/tasks/live"] = echo
    browser = await browse()
    url = f"{browser.door.url}/api/v2/tasks/live"
    with pytest.raises(ClientError) as refused:
        await browser.session.ws_connect(url, headers={"Origin": "https://evil.example"})
    assert getattr(refused.value, "status", None) == 403
    async with browser.session.ws_connect(url) as socket:
        await socket.send_str("hello")
        assert await socket.receive_str(timeout=10) == "hello"
        assert await browser.status("POST", "/api/v2/auth/session-logout") == 204
        await ends(socket)


async def test_with_auth_away_a_known_session_serves_and_an_unknown_one_is_not_let_in(
    browse: OpenBrowser, auth: AuthProcess
) -> None:
    browser, other = await browse(), await browse(person=GRACE)
    assert await browser.status() == 200
    await auth.stop()
    assert await browser.status() == 200
    answer, body = await other.ask("GET", TASKS)
    assert (answer.status, body["error"]["code"]) == (503, "SERVICE_UNAVAILABLE")
    # The session may well be good: the browser keeps it.
    assert "Set-Cookie" not in answer.headers
    assert await browser.status("POST", csrf=None) == 403


async def test_a_listed_site_may_use_cookies_when_the_configuration_says_so(
    browse: OpenBrowser,
) -> None:
    app = "http://app.example"
    cors = f'[cors]\nallow_origins = ["{app}"]\nallow_credentials = true\n'
    browser = await browse(config=cors)
    near = {"Origin": app, "Sec-Fetch-Site": "same-site"}
    answer, _ = await browser.ask("POST", TASKS, headers=near)
    assert answer.status == 200
    assert answer.headers["Access-Control-Allow-Origin"] == app
    assert answer.headers["Access-Control-Allow-Credentials"] == "true"
    assert {"Origin", "Cookie"} <= {one.strip() for one in answer.headers["Vary"].split(",")}
    assert await browser.status("POST", headers=near, csrf=None) == 403
    far = {"Origin": "http://evil.example", "Sec-Fetch-Site": "same-site"}
    answer, _ = await browser.ask("POST", TASKS, headers=far)
    assert answer.status == 403
    assert "Access-Control-Allow-Origin" not in answer.headers
    preflight = {
        **near,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "x-csrf-token",
    }
    answer, _ = await browser.door.ask("OPTIONS", TASKS, headers=preflight)
    assert answer.status == 204
    assert "X-CSRF-Token" in answer.headers["Access-Control-Allow-Headers"]


async def test_who_locks_an_account_from_afar_does_not_lock_its_owners_browser_out(
    browse: OpenBrowser,
) -> None:
    browser = await browse(trusted_proxies="127.0.0.1")
    assert await browser.status("POST", "/api/v2/auth/session-logout") == 204
    body = {"email": ADA["email"], "password": WRONG}
    afar = {"X-Forwarded-For": "203.0.113.9"}
    statuses = [
        (await browser.door.ask("POST", "/api/v2/auth/login", json=body, headers=afar))[0].status
        for _ in range(6)
    ]
    assert statuses == [401] * 5 + [423]
    body = {"email": ADA["email"], "password": PASSWORD}
    stranger, _ = await browser.door.ask("POST", "/api/v2/auth/login", json=body)
    assert stranger.status == 423
    assert (await browser.log_in()).status == 200
    # The other login of the same browser is the same device.
    assert await browser.status("POST", "/api/v2/auth/login", json=body) == 200


async def test_the_address_that_auth_notes_is_the_clients_and_not_its_claim(
    browse: OpenBrowser, open_door: Open
) -> None:
    claim = {"X-Forwarded-For": "203.0.113.9", "X-Client-Address": "203.0.113.10"}
    for trusted, address in (("", "127.0.0.1"), ("127.0.0.1", "203.0.113.9")):
        browser = await browse(await open_door(trusted_proxies=trusted), logged_in=False)
        assert (await browser.log_in(**claim)).status == 200
        _, own = await browser.ask("GET", "/api/v2/auth/sessions")
        assert next(one["address"] for one in own["sessions"] if one["current"]) == address
