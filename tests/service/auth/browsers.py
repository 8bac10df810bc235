"""A browser at auth's own door: it keeps cookies and comes with what the gateway would send."""

from __future__ import annotations

from http.cookies import SimpleCookie
from typing import Any

from aiohttp import ClientResponse

from tests.service.auth.conftest import PASSWORD, Auth


class Browser:
    """Cookies by name without its prefix, as set by the answers so far; empty: cleared."""

    def __init__(self, auth: Auth, address: str = "192.0.2.7") -> None:
        self.auth = auth
        self.address = address
        self.cookies: dict[str, str] = {}
        self.grant: dict[str, Any] = {}

    async def post(
        self, path: str, body: Any = None, *, token: str | None = None
    ) -> ClientResponse:
        """A request with the device cookie alone, as the gateway lets it through."""
        headers = {"X-Client-Address": self.address}
        if "device" in self.cookies:
            headers["Cookie"] = f"__Host-device={self.cookies['device']}"
        answer = await self.auth.post(path, body, token=token, headers=headers)
        for text in answer.headers.getall("Set-Cookie", []):
            for name, morsel in SimpleCookie(text).items():
                self.cookies[name.removeprefix("__Host-")] = morsel.value
        return answer

    async def log_in(
        self,
        email: str,
        password: str = PASSWORD,
        *,
        path: str = "session-login",
        token: str | None = None,
    ) -> ClientResponse:
        answer = await self.post(path, {"email": email, "password": password}, token=token)
        if answer.status == 200:
            self.grant = await answer.json()
        return answer

    async def exchange(self, secret: str | None = None) -> ClientResponse:
        """What a gateway gets for the session's cookie."""
        service = (await (await self.auth.service_token()).json())["access_token"]
        return await self.auth.client.post(
            "/internal/exchange",
            json={"session": self.cookies["session"] if secret is None else secret},
            headers={"X-Service-Token": service},
        )

    async def token(self) -> str:
        answer = await self.exchange()
        assert answer.status == 200, await answer.text()
        token: str = (await answer.json())["access_token"]
        return token

    async def get(self, path: str, token: str) -> ClientResponse:
        return await self.auth.client.get(
            f"/v1/auth/{path}", headers={"Authorization": f"Bearer {token}"}
        )
