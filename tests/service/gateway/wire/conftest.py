"""The data plane behind real sockets, on both event loops, with a policy of the test's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import uvloop

from tests.service.gateway.wire.peers import Door, Service, open_door, serve


def pytest_asyncio_loop_factories(
    config: pytest.Config,
    item: pytest.Item,
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """uvloop is what runs; asyncio's own loop must do as well."""
    return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.SelectorEventLoop}


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    """A service that keeps every byte it gets, and answers as the test tells it."""
    async with serve() as service:
        yield service


@pytest.fixture
async def door(service: Service) -> AsyncIterator[Door]:
    """The data plane before `service`."""
    async with open_door(service) as door:
        yield door
