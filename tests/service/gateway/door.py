"""The whole gateway on free ports, before upstreams of a test's own."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import ClientResponse, ClientSession, DummyCookieJar, web
from yarl import URL

from services.gateway.app import running
from services.gateway.downstream.server import Server
from services.gateway.settings import Settings
from shared.health import Health
from tests import tokens
from tests.ports import free_port

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

GENEROUS = """
[limits.tiers]
anonymous = ["100000/minute"]
default = ["100000/minute"]
"""


@dataclass
class Upstream:
    """A service that keeps what reached it; `answers` by path, an echo for the rest."""

    answers: dict[str, Handler] = field(default_factory=dict)
    seen: list[web.Request] = field(default_factory=list)
    url: str = ""
    key_set_fetches: int = 0
    keys: tuple[str, ...] = (tokens.KEY_ID,)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(request)
        handler = self.answers.get(request.path)
        if handler is not None:
            return await handler(request)
        body = await request.read()
        return web.json_response({"path": request.raw_path, "body": body.decode()})

    async def accepting(self, _request: web.Request) -> web.StreamResponse:
        return web.Response()

    async def jwks(self, _request: web.Request) -> web.StreamResponse:
        self.key_set_fetches += 1
        return web.Response(body=tokens.key_set(*self.keys), content_type="application/json")


@contextlib.asynccontextmanager
async def upstream() -> AsyncIterator[Upstream]:
    """One service on a free port; it has the test's key set as auth has."""
    service = Upstream()
    app = web.Application()
    app.router.add_get("/.well-known/jwks.json", service.jwks)
    # What the gateway asks by itself is nothing that a test has sent.
    app.router.add_get("/health/accepting", service.accepting)
    app.router.add_route("*", "/{rest:.*}", service.serve)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    service.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield service
    finally:
        await runner.cleanup()


@dataclass
class Door:
    """A client at the gateway's public port."""

    session: ClientSession
    server: Server
    health: Health
    ops: str

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    async def ask(
        self, method: str, path: str, *, token: str | None = None, **options: Any
    ) -> tuple[ClientResponse, Any]:
        """The answer and its JSON body, None where it is none."""
        headers = dict(options.pop("headers", {}))
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        target = URL(self.url + path, encoded=True)
        async with self.session.request(
            method, target, headers=headers, allow_redirects=False, **options
        ) as answer:
            await answer.read()
            is_json = "json" in answer.headers.get("Content-Type", "")
            body = await answer.json(content_type=None) if is_json else None
            return answer, body

    async def get(self, path: str, **options: Any) -> tuple[ClientResponse, Any]:
        return await self.ask("GET", path, **options)

    async def metrics(self) -> str:
        async with self.session.get(f"{self.ops}/metrics") as answer:
            return await answer.text()


@contextlib.asynccontextmanager
async def door(config: Path, service: Upstream, **settings: Any) -> AsyncIterator[Door]:
    """The gateway with both services at `service`, configured by the file `config`."""
    ops_port = free_port()
    options: dict[str, Any] = {
        "environment": "development",
        "port": 0,
        "ops_port": ops_port,
        "config": str(config),
        "auth_upstream": service.url,
        "tasks_upstream": service.url,
        "shutdown_seconds": 0.2,
        **settings,
    }
    async with (
        running(Settings(**options)) as (health, server),
        ClientSession(cookie_jar=DummyCookieJar()) as session,
    ):
        yield Door(session, server, health, f"http://127.0.0.1:{ops_port}")
