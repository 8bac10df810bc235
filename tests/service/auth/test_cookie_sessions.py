"""Sessions by cookie: opened, exchanged, slid, replaced and ended."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import jwt
import pytest

from shared.csrf import is_csrf_token
from tests.postgres_proxy import proxied
from tests.service.auth.browsers import Browser
from tests.service.auth.conftest import PASSWORD, Auth, Start, error_of

ADA = "ada@example.com"
WRONG = "seven-lazy-badgers-sing"
OTHER = "eight-wise-herons-sing"


@pytest.fixture
async def browser(auth: Auth) -> Browser:
    """Ada's, logged in."""
    await auth.register(ADA)
    browser = Browser(auth)
    assert (await browser.log_in(ADA)).status == 200
    return browser


def claims(token: str) -> dict[str, Any]:
    found: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return found


async def test_a_login_by_cookie_gives_no_token_and_a_cookie_that_scripts_cannot_read(
    start: Start,
) -> None:
    for environment, name, secure in (
        ("production", "__Host-session", True),
        ("development", "session", False),
    ):
        auth = await start(environment=environment)
        await auth.register(f"{environment}@example.com")
        answer = await Browser(auth).log_in(f"{environment}@example.com")
        assert answer.status == 200
        assert answer.headers["Cache-Control"] == "no-store"
        assert set(await answer.json()) == {
            "user", "csrf_token", "session_expires_at", "idle_expires_at",
        }  # fmt: skip
        cookie = next(c for c in answer.headers.getall("Set-Cookie") if c.startswith(name + "="))
        _, *attributes = cookie.split("; ")
        expected = {"Path=/", "HttpOnly", "SameSite=Lax"} | ({"Secure"} if secure else set())
        assert set(attributes) == expected
        assert "Domain" not in cookie


async def test_a_refused_login_sets_no_cookie(auth: Auth) -> None:
    await auth.register(ADA)
    for email, password in ((ADA, WRONG), ("nobody@example.com", WRONG)):
        answer = await Browser(auth).log_in(email, password)
        assert await error_of(answer) == (401, "UNAUTHORIZED")
        assert "Set-Cookie" not in answer.headers
    for body in ({"email": ADA}, {"email": ADA, "password": PASSWORD, "remember": True}):
        assert await error_of(await auth.post("session-login", body)) == (422, "VALIDATION_ERROR")
    assert len(await auth.sql("SELECT 1 FROM sessions")) == 1


async def test_a_form_of_another_site_is_no_json(auth: Auth) -> None:
    await auth.register(ADA)
    text = f'{{"email": "{ADA}", "password": "{PASSWORD}"}}'
    for media in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        answer = await auth.client.post(
            "/v1/auth/session-login", data=text, headers={"Content-Type": media}
        )
        assert await error_of(answer) == (415, "UNSUPPORTED_MEDIA_TYPE")


async def test_what_is_kept_of_a_cookie_is_its_hash(browser: Browser) -> None:
    [row] = await browser.auth.sql(
        "SELECT sessions::text AS everything FROM sessions WHERE cookie_hash IS NOT NULL"
    )
    secret = browser.cookies["session"]
    assert secret not in row["everything"]
    assert secret.encode().hex() not in row["everything"]


async def test_a_cookie_is_exchanged_for_a_minute(browser: Browser) -> None:
    answer = await browser.exchange()
    assert answer.status == 200
    bought = await answer.json()
    found = claims(bought["access_token"])
    assert found["exp"] - found["iat"] == bought["expires_in"] == 60
    assert (found["sub"], found["scope"]) == (browser.grant["user"]["id"], "")
    assert is_csrf_token(bought["csrf_key"].encode(), browser.grant["csrf_token"])


async def test_what_is_no_live_session_is_not_exchanged(browser: Browser, auth: Auth) -> None:
    secret = browser.cookies["session"]
    other = "A" if secret[20] != "A" else "B"
    for junk in ("junk", secret[:20] + other + secret[21:], "x" * 128):
        assert await error_of(await browser.exchange(junk)) == (404, "NOT_FOUND")
    for change in (
        "ended_at = now(), ended_because = 'logout'",
        "ended_at = NULL, ended_because = NULL, idle_expires_at = now()",
    ):
        await auth.sql(f"UPDATE sessions SET {change}")
        assert (await browser.exchange()).status == 404
    await auth.sql("UPDATE sessions SET idle_expires_at = now() + interval '1 minute'")
    assert (await browser.exchange()).status == 200
    await auth.sql("UPDATE users SET is_active = false")
    assert (await browser.exchange()).status == 404


@pytest.mark.parametrize(
    "body", [{}, {"session": "x", "api_key": "y"}, {"session": None}, {"session": "x" * 129}]
)
async def test_one_credential_is_exchanged_at_a_time(auth: Auth, body: dict[str, Any]) -> None:
    service = (await (await auth.service_token()).json())["access_token"]
    answer = await auth.client.post(
        "/internal/exchange", json=body, headers={"X-Service-Token": service}
    )
    assert await error_of(answer) == (422, "VALIDATION_ERROR")


async def test_use_moves_the_idle_end_with_one_write_a_minute_and_never_past_the_absolute_one(
    browser: Browser, auth: Auth
) -> None:
    query = (
        "SELECT used_at, idle_expires_at, expires_at, xmin::text AS version FROM sessions"
        " WHERE cookie_hash IS NOT NULL"
    )
    [before] = await auth.sql(query)
    assert before["idle_expires_at"] - before["used_at"] == timedelta(minutes=30)
    assert before["expires_at"] - before["used_at"] == timedelta(hours=12)
    for _ in range(3):
        assert (await browser.exchange()).status == 200
    assert await auth.sql(query) == [before]
    await auth.sql("UPDATE sessions SET used_at = used_at - interval '55 seconds'")
    assert (await browser.exchange()).status == 200
    [after] = await auth.sql(query)
    assert after["used_at"] > before["used_at"]
    assert after["idle_expires_at"] - after["used_at"] == timedelta(minutes=30)
    # The last minutes of the twelve hours.
    await auth.sql(
        "UPDATE sessions SET expires_at = now() + interval '10 seconds',"
        " used_at = now() - interval '2 minutes'"
    )
    answer = await (await browser.exchange()).json()
    assert answer["expires_in"] <= 10
    [last] = await auth.sql(query)
    assert last["idle_expires_at"] == last["expires_at"]


async def test_a_short_idle_time_is_noted_more_often(start: Start) -> None:
    auth = await start(cookie_session_idle_seconds=30, cookie_session_seconds=60)
    await auth.register(ADA)
    browser = Browser(auth)
    await browser.log_in(ADA)
    assert (await (await browser.exchange()).json())["expires_in"] == 1


async def test_each_login_is_another_session_and_ends_the_one_before_it(browser: Browser) -> None:
    old_token, old_secret = await browser.token(), browser.cookies["session"]
    assert (await browser.log_in(ADA, token=old_token)).status == 200
    assert browser.cookies["session"] != old_secret
    assert claims(await browser.token())["sid"] != claims(old_token)["sid"]
    assert (await browser.exchange(old_secret)).status == 404
    [ended] = (await browser.auth.revocations())["revocations"]
    assert ended["subject"] == claims(old_token)["sid"]


async def test_a_login_that_fails_leaves_the_session_before_it_as_it_was(browser: Browser) -> None:
    token = await browser.token()
    assert (await browser.log_in("nobody@example.com", WRONG, token=token)).status == 401
    assert claims(await browser.token())["sub"] == claims(token)["sub"]


async def test_two_people_at_one_browser_never_share_a_session(
    browser: Browser, auth: Auth
) -> None:
    grant = await auth.register("grace@example.com")
    hers = await browser.token()
    assert (await browser.log_in("grace@example.com", token=hers)).status == 200
    token = await browser.token()
    assert claims(token)["sub"] == grant["user"]["id"]
    assert claims(token)["sid"] != claims(hers)["sid"]
    assert (await browser.get("profile", hers)).status == 401


async def test_a_login_by_cookie_leaves_the_sessions_of_tokens_alone(
    browser: Browser, auth: Auth
) -> None:
    grant = await (await auth.log_in(ADA)).json()
    assert (await browser.log_in(ADA, token=grant["access_token"])).status == 200
    assert (await auth.refresh(grant["refresh_token"])).status == 200


async def test_a_password_change_gives_the_browser_another_session(
    browser: Browser, auth: Auth
) -> None:
    phone = await (await auth.log_in(ADA)).json()
    token, old_secret = await browser.token(), browser.cookies["session"]
    body = {"current_password": PASSWORD, "new_password": OTHER}
    answer = await browser.post("password", body, token=token)
    assert answer.status == 204
    assert browser.cookies["session"] != old_secret
    assert (await browser.exchange(old_secret)).status == 404
    assert (await auth.refresh(phone["refresh_token"])).status == 401
    assert (await browser.get("session-profile", await browser.token())).status == 200
    ended = {one["subject"] for one in (await auth.revocations())["revocations"]}
    assert claims(token)["sid"] in ended
    # The CSRF token of before is one of another session.
    key = (await (await browser.exchange()).json())["csrf_key"]
    assert not is_csrf_token(key.encode(), browser.grant["csrf_token"])


async def test_logout_ends_the_session_and_clears_the_cookie(browser: Browser) -> None:
    token, secret = await browser.token(), browser.cookies["session"]
    answer = await browser.post("session-logout", token=token)
    assert answer.status == 204
    assert "Max-Age=0" in answer.headers["Set-Cookie"]
    assert browser.cookies["session"] == ""
    assert (await browser.exchange(secret)).status == 404
    assert await error_of(await browser.post("session-logout", token=token)) == (
        401,
        "UNAUTHORIZED",
    )


async def test_a_session_of_tokens_is_not_ended_by_the_browsers_logout(auth: Auth) -> None:
    grant = await auth.register()
    answer = await auth.post("session-logout", token=grant["access_token"])
    assert await error_of(answer) == (403, "FORBIDDEN")
    assert (await auth.profile(grant["access_token"])).status == 200


async def test_the_session_shows_its_owner_and_its_ends(browser: Browser, auth: Auth) -> None:
    answer = await browser.get("session-profile", await browser.token())
    shown = await answer.json()
    assert answer.status == 200
    assert {name: shown[name] for name in browser.grant["user"]} == browser.grant["user"]
    assert shown["session_expires_at"] == browser.grant["session_expires_at"]
    assert "password_hash" not in shown
    answer = await browser.get("csrf", await browser.token())
    key = (await (await browser.exchange()).json())["csrf_key"]
    assert is_csrf_token(key.encode(), (await answer.json())["csrf_token"])
    for path in ("session-profile", "csrf"):
        bearer = (await (await auth.log_in(ADA)).json())["access_token"]
        assert await error_of(await browser.get(path, bearer)) == (403, "FORBIDDEN")
        assert (await auth.client.get(f"/v1/auth/{path}")).status == 401


async def test_sessions_of_both_kinds_are_listed_and_ended_alike(
    browser: Browser, auth: Auth
) -> None:
    token = await browser.token()
    listed = (await (await browser.get("sessions", token)).json())["sessions"]
    assert len(listed) == 2
    assert [one["current"] for one in listed].count(True) == 1
    phone = await (await auth.log_in(ADA)).json()
    headers = {"Authorization": f"Bearer {phone['access_token']}"}
    sid = claims(token)["sid"]
    answer = await auth.client.delete(f"/v1/auth/sessions/{sid}", headers=headers)
    assert answer.status == 204
    assert (await browser.exchange()).status == 404


async def test_a_logout_everywhere_ends_it(browser: Browser, auth: Auth) -> None:
    phone = await (await auth.log_in(ADA)).json()
    assert (await auth.post("logout", {"all": True}, token=phone["access_token"])).status == 204
    assert (await browser.exchange()).status == 404


async def test_without_the_database_no_session_is_opened_exchanged_or_given_up(
    start: Start, auth_database_url: str
) -> None:
    async with proxied(auth_database_url) as proxy:
        auth = await start(database_url=proxy.url)
        await auth.register(ADA)
        browser = Browser(auth)
        await browser.log_in(ADA)
        token, secret = await browser.token(), browser.cookies["session"]
        await proxy.shut()
        answers = [
            await browser.log_in(ADA),
            await browser.exchange(),
            await browser.post("session-logout", token=token),
            await browser.get("session-profile", token),
            await browser.get("csrf", token),
        ]
        for answer in answers:
            assert await error_of(answer) == (503, "SERVICE_UNAVAILABLE")
            assert int(answer.headers["Retry-After"]) >= 1
            # Nobody knows whether it has ended, so the browser keeps its cookie.
            assert "Set-Cookie" not in answer.headers
        await proxy.listen()
        assert browser.cookies["session"] == secret
        assert (await browser.exchange()).status == 200
