"""The service of tasks on a real database, and clients that carry real tokens."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession, web

from services.tasks.app import build
from services.tasks.settings import Settings
from shared.app import create_app
from shared.identity import Role
from shared.server import ApiRunner
from tests import tokens
from tests.sealing import OLD
from tests.service.tasks.client import Client, address_of
from tests.service.tasks.receiver import Receiver


@pytest.fixture
async def running(tasks_database_url: str) -> AsyncIterator[ApiRunner]:
    """The service."""
    settings = Settings(database_url=tasks_database_url, encryption_keys=OLD)
    service = build(settings, key_source=tokens.Keys(tokens.KEY_ID))
    runner = ApiRunner(create_app(service, settings), shutdown_timeout=1.0)
    await runner.setup()
    try:
        yield runner
    finally:
        await runner.cleanup()


@pytest.fixture
async def base_url(running: ApiRunner) -> str:
    """Where the service listens."""
    return await address_of(running)


@pytest.fixture
async def session() -> AsyncIterator[ClientSession]:
    async with ClientSession() as opened:
        yield opened


@pytest.fixture
def ann(session: ClientSession, base_url: str) -> Client:
    """A user."""
    return Client(session, base_url)


@pytest.fixture
def bob(session: ClientSession, base_url: str) -> Client:
    """Another user."""
    return Client(session, base_url)


@pytest.fixture
def admin(session: ClientSession, base_url: str) -> Client:
    return Client(session, base_url, Role.ADMIN)


@pytest.fixture
def reader(session: ClientSession, base_url: str) -> Client:
    """A user who may only read."""
    return Client(session, base_url, Role.READONLY)


@pytest.fixture
def nobody(session: ClientSession, base_url: str) -> Client:
    """Somebody without a token."""
    return Client(session, base_url, None)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """Somebody who is told."""
    taker = Receiver()
    app = web.Application()
    app.router.add_post("/{name}", taker.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    taker.url = await address_of(runner)
    yield taker
    await runner.cleanup()


@pytest.fixture
def settings(tasks_database_url: str) -> Settings:
    """Of a worker that is quick to try again and may deliver to us."""
    return Settings(
        database_url=tasks_database_url,
        environment="development",
        encryption_keys=OLD,
        worker_ops_port=0,
        webhooks_allow_private=True,
        webhooks_schedule_scale=0.0,
        webhooks_poll_seconds=0.02,
    )
