"""Under constant load nothing is lost: restarts, reloads, endpoints that leave or die."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.databases import Databases
from tests.e2e.fleet import CONFIG, Fleet, fleet, load
from tests.e2e.visitor import visiting

pytestmark = pytest.mark.asyncio(loop_scope="module")
CLIENTS = 12


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(
    databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Fleet]:
    urls = [databases.fresh("auth"), databases.fresh("tasks")]
    async with fleet(tmp_path_factory.mktemp("fleet"), *urls) as members:
        yield members
    for url in urls:
        databases.drop(url)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def token(running: Fleet) -> str:
    async with visiting(running.gateway.url) as person:
        return person.token


async def test_a_restart_of_a_service_loses_nothing(running: Fleet, token: str) -> None:
    """One of auth and one of tasks at the same time; the others carry the load meanwhile."""
    leaving = (running.auth[0], running.tasks[0])
    async with load(running, token, CLIENTS) as found:
        assert await asyncio.gather(*(member.end() for member in leaving)) == [0, 0]
        await found.goes_on()
        await asyncio.gather(*(member.start() for member in leaving))
        await found.goes_on()
    assert found.failures == []


async def test_a_restart_of_the_gateway_loses_nothing(running: Fleet, token: str) -> None:
    """Clients that come in between wait in the queue of the socket that somebody else holds."""
    async with load(running, token, CLIENTS) as found:
        assert await running.gateway.end() == 0
        await running.gateway.start()
        await found.goes_on()
    assert found.failures == []


async def test_reloads_lose_nothing_good_or_bad(running: Fleet, token: str) -> None:
    files = (CONFIG + "# the same\n", "[", CONFIG.replace("1000000", "2000000"), "surprise = 1")
    async with load(running, token, CLIENTS) as found:
        for number in range(8):
            running.config.write_text(files[number % len(files)])
            running.gateway.send(signal.SIGHUP)
            await found.goes_on(2)
        running.config.write_text(CONFIG)
        running.gateway.send(signal.SIGHUP)
        await found.goes_on()
    assert found.failures == []


async def test_a_killed_endpoint_takes_at_most_what_was_under_way(
    running: Fleet, token: str
) -> None:
    async with load(running, token, CLIENTS) as found:
        assert await running.tasks[1].end(signal.SIGKILL) == -signal.SIGKILL
        await found.goes_on()
        at_the_kill = list(found.failures)
        # Nobody is sent to it while it is out.
        await found.goes_on()
    assert found.failures == at_the_kill
    assert len(at_the_kill) <= CLIENTS
    assert all(
        call.name == "create" and not call.repeatable and status == 502
        for call, status in at_the_kill
    )
