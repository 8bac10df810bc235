"""A small service of every kind of operation, on a real socket, for tests of what shared/ does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import ClientSession, DummyCookieJar, web
from prometheus_client import CollectorRegistry

from shared.app import Service, create_app
from shared.endpoints import Endpoint
from shared.metrics import new_registry
from shared.middleware import VERIFIER
from shared.server import ApiRunner
from shared.settings import ProcessSettings
from tests.service.shared.sample import ENDPOINTS
from tests.tokens import token, verifier

AUTHORIZED = {"Authorization": f"Bearer {token()}"}


@dataclass(frozen=True, slots=True)
class Running:
    """A service that listens on `port` of the loopback, and a client for it."""

    port: int
    client: ClientSession
    registry: CollectorRegistry

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A bare connection; what the block waits for on it may take ten seconds."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            async with asyncio.timeout(10):
                yield reader, writer
        finally:
            writer.close()

    async def raw(self, sent: bytes) -> bytes:
        """Sends bytes as they are and returns all that comes back until the server hangs up."""
        async with self.connection() as (reader, writer):
            writer.write(sent)
            return await reader.read()


Start = Callable[..., AbstractAsyncContextManager[Running]]


@pytest.fixture
def start() -> Start:
    """Starts a service of the given endpoints; `environment` as in the settings."""

    @asynccontextmanager
    async def start(
        endpoints: tuple[Endpoint, ...] = ENDPOINTS, *, environment: str = "production"
    ) -> AsyncIterator[Running]:
        async def trust(app: web.Application) -> AsyncIterator[None]:
            app[VERIFIER] = verifier()
            yield

        service = Service(
            name="sample",
            title="Sample",
            endpoints=endpoints,
            resources=(trust,),
            registry=new_registry("sample"),
            critical={},
            optional={},
        )
        app = create_app(service, ProcessSettings(environment=environment))
        runner = ApiRunner(app, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            port: int = runner.addresses[0][1]
            async with ClientSession(
                f"http://127.0.0.1:{port}", cookie_jar=DummyCookieJar(), auto_decompress=False
            ) as client:
                yield Running(port, client, service.registry)
        finally:
            await runner.cleanup()

    return start


@pytest.fixture
async def running(start: Start) -> AsyncIterator[Running]:
    """The sample service as it runs in production."""
    async with start() as service:
        yield service


def error_of(body: dict[str, Any], code: str) -> dict[str, Any]:
    """The inner object of an error envelope, whose code must be `code`."""
    assert list(body) == ["error"]
    error: dict[str, Any] = body["error"]
    assert set(error) == {"code", "message", "details", "request_id"}
    assert error["code"] == code
    assert isinstance(error["details"], dict)
    assert error["request_id"]
    return error
