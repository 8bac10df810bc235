"""Real replicas of auth behind real gateways, in one process."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable

from aiohttp import ClientError, ClientWebSocketResponse, WSMsgType, web

from services.auth.app import build
from services.auth.settings import Settings
from shared.app import create_app
from tests.service.gateway.door import Door

KEY = "the-service-key-of-the-tests-only"
ROUTES = """
[[routes]]
prefix = "/auth"
upstream = "auth"
auth = "optional"
[[routes]]
prefix = "/tasks"
upstream = "tasks"
auth = "required"
"""
Open = Callable[..., Awaitable[Door]]


class AuthProcess:
    """A replica of auth on a port of its own, which can go away and come back."""

    def __init__(self, database_url: str, environment: str = "development") -> None:
        self._database_url = database_url
        self._environment = environment
        self._runner: web.AppRunner | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        settings = Settings(
            database_url=self._database_url,
            service_credentials=KEY,
            hash_queue_seconds=60.0,
            environment=self._environment,
        )
        app = create_app(build(settings), settings)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            runner, self._runner = self._runner, None
            await runner.cleanup()


async def echo(request: web.Request) -> web.StreamResponse:
    """A service behind a WebSocket, which says what it hears."""
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        await socket.send_str(message.data)
    return socket


async def ends(socket: ClientWebSocketResponse[bool]) -> None:
    """Waits for the end of a conversation, and fails when something else comes."""
    with contextlib.suppress(ClientError, OSError):
        ended = await socket.receive(timeout=10)
        assert ended.type in (WSMsgType.CLOSED, WSMsgType.CLOSE, WSMsgType.ERROR)
