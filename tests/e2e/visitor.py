"""A person who uses the system through its public door."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import ClientResponse, ClientSession, DummyCookieJar

PASSWORD = "a quiet morning walk"
_count = itertools.count(1)


@dataclass(slots=True)
class Visitor:
    """A client of the gateway; `token` is his access token once he has logged in."""

    client: ClientSession
    email: str = ""
    token: str = ""
    grant: dict[str, Any] = field(default_factory=dict)

    @asynccontextmanager
    async def asking(self, method: str, path: str, **sent: Any) -> AsyncIterator[ClientResponse]:
        """The answer to one request, with the visitor's token unless he has none."""
        headers = dict(sent.pop("headers", {}))
        if self.token and "Authorization" not in headers:
            headers["Authorization"] = f"Bearer {self.token}"
        async with self.client.request(method, path, headers=headers, **sent) as answer:
            yield answer

    async def ask(self, method: str, path: str, expected: int, **sent: Any) -> Any:
        """The JSON of the answer, or its text; its status must be `expected`."""
        async with self.asking(method, path, **sent) as answer:
            text = await answer.text()
            assert answer.status == expected, f"{answer.status} {text}"
            return await answer.json() if answer.content_type == "application/json" else text

    async def register(self) -> None:
        """Makes an account of his own and logs in to it."""
        self.email = f"visitor{next(_count)}@example.com"
        body = {"name": "Ada", "email": self.email, "password": PASSWORD}
        self.grant = await self.ask("POST", "/api/v2/auth/register", 201, json=body)
        self.token = self.grant["access_token"]


@asynccontextmanager
async def visiting(url: str, *, registered: bool = True) -> AsyncIterator[Visitor]:
    """A visitor of the gateway at `url`, by default with an account of his own."""
    async with ClientSession(url, cookie_jar=DummyCookieJar()) as client:
        visitor = Visitor(client)
        if registered:
            await visitor.register()
        yield visitor


def error_of(body: Any, code: str | None = None) -> dict[str, Any]:
    """The inner object of an answer in the contract's error shape."""
    assert isinstance(body, dict), body
    assert list(body) == ["error"], body
    error: dict[str, Any] = body["error"]
    assert set(error) == {"code", "message", "details", "request_id"}, body
    assert isinstance(error["details"], dict), body
    assert error["request_id"], body
    assert code is None or error["code"] == code, body
    return error
