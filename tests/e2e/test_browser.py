"""A browser through the public door: cookie jar, CSRF token, and the end of a session felt."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import ClientSession, CookieJar

from tests.e2e.conftest import System
from tests.e2e.visitor import PASSWORD, error_of, visiting


class Page:
    """A page of the site in a browser: cookies go along by themselves, the token is added."""

    def __init__(self, client: ClientSession) -> None:
        self.client = client
        self.csrf = ""

    async def ask(self, method: str, path: str, expected: int, **sent: Any) -> Any:
        headers = {"Sec-Fetch-Site": "same-origin", **sent.pop("headers", {})}
        if self.csrf and method != "GET":
            headers.setdefault("X-CSRF-Token", self.csrf)
        async with self.client.request(method, path, headers=headers, **sent) as answer:
            text = await answer.text()
            assert answer.status == expected, f"{answer.status} {text}"
            return await answer.json() if answer.content_type == "application/json" else text

    def cookies(self) -> dict[str, str]:
        return {cookie.key: cookie.value for cookie in self.client.cookie_jar}


@asynccontextmanager
async def page(system: System, email: str) -> AsyncIterator[Page]:
    """A page whose reader has logged in."""
    async with ClientSession(system.url, cookie_jar=CookieJar(unsafe=True)) as client:
        opened = Page(client)
        body = {"email": email, "password": PASSWORD}
        grant = await opened.ask("POST", "/api/v2/auth/session-login", 200, json=body)
        opened.csrf = grant["csrf_token"]
        yield opened


async def test_a_browser_manages_tasks_and_is_out_once_its_session_ends(system: System) -> None:
    async with visiting(system.url) as person, page(system, person.email) as browser:
        profile = await browser.ask("GET", "/api/v2/auth/session-profile", 200)
        assert profile["email"] == person.email
        body = {"title": "By a browser"}
        foreign = {"X-CSRF-Token": "of another site"}
        refused = await browser.ask("POST", "/api/v2/tasks", 403, json=body, headers=foreign)
        error_of(refused, "CSRF_FAILED")
        cross = {"Sec-Fetch-Site": "cross-site"}
        refused = await browser.ask("POST", "/api/v2/tasks", 403, json=body, headers=cross)
        error_of(refused, "CSRF_FAILED")
        assert (await browser.ask("GET", "/api/v2/tasks", 200))["count"] == 0
        task = await browser.ask("POST", "/api/v2/tasks", 201, json=body)
        browser.csrf = (await browser.ask("GET", "/api/v2/auth/csrf", 200))["csrf_token"]
        path = f"/api/v2/tasks/{task['id']}"
        await browser.ask("PATCH", path, 200, json={"completed": True})
        # The same person's token sees it; the two sessions are listed side by side.
        assert (await person.ask("GET", path, 200))["completed"]
        listed = (await person.ask("GET", "/api/v2/auth/sessions", 200))["sessions"]
        assert len(listed) == 2
        doomed = next(one["id"] for one in listed if not one["current"])
        await person.ask("DELETE", f"/api/v2/auth/sessions/{doomed}", 204)
        began = time.perf_counter()
        while True:
            async with browser.client.get("/api/v2/tasks") as answer:
                if answer.status == 401:
                    break
            assert answer.status == 200
            await asyncio.sleep(0.002)
        print(f"from the end of the session to its refusal: {time.perf_counter() - began:.3f} s")
        assert "session" not in browser.cookies()
        assert "device" in browser.cookies()


async def test_logout_takes_the_cookie_away(system: System) -> None:
    async with visiting(system.url) as person, page(system, person.email) as browser:
        await browser.ask("POST", "/api/v2/auth/session-logout", 204)
        assert "session" not in browser.cookies()
        error_of(await browser.ask("GET", "/api/v2/tasks", 401), "UNAUTHORIZED")
        await person.ask("GET", "/api/v2/tasks", 200)
