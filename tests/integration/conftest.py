"""Fixtures of what stands between a client and auth: the replica, the gateways, a service."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.doors import KEY, ROUTES, AuthProcess, Open
from tests.service.auth.conftest import eventually
from tests.service.gateway.door import GENEROUS, Door, Upstream, door, upstream


@pytest.fixture
async def auth(auth_database_url: str) -> AsyncIterator[AuthProcess]:
    process = AuthProcess(auth_database_url)
    await process.start()
    yield process
    await process.stop()


@pytest.fixture
async def service() -> AsyncIterator[Upstream]:
    async with upstream() as started:
        yield started


@pytest.fixture
async def open_door(auth: AuthProcess, service: Upstream, tmp_path: Path) -> AsyncIterator[Open]:
    """Opens one more gateway; `config` is added to its configuration."""
    async with contextlib.AsyncExitStack() as stack:

        async def one(*, ready: bool = True, config: str = "", **changes: Any) -> Door:
            file = tmp_path / "gateway.toml"
            file.write_text(GENEROUS + ROUTES + config)
            settings = {"auth_upstream": auth.url, "service_credential": KEY, **changes}
            opened = await stack.enter_async_context(door(file, service, **settings))
            if ready:
                await eventually(opened.health.ready)
            return opened

        yield one
