"""One id names a request in every process that served it."""

from __future__ import annotations

import asyncio
import json
import uuid

import pytest

from tests.e2e.conftest import System
from tests.e2e.visitor import visiting


async def lines_with(system: System, process: str, request_id: str) -> list[dict[str, object]]:
    """The log lines of a process that name a request, as soon as there are any."""
    path = system.logs / f"{process}.log"
    async with asyncio.timeout(20):
        while True:
            text = path.read_text()
            found = [json.loads(line) for line in text.splitlines() if request_id in line]
            if found:
                return found
            await asyncio.sleep(0.1)


@pytest.mark.parametrize(
    ("path", "status", "process"),
    [
        ("/api/v2/tasks", 200, "tasks"),
        ("/api/v2/tasks/7", 422, "tasks"),
        ("/api/v2/auth/profile", 200, "auth"),
    ],
)
async def test_a_clients_id_is_in_the_log_of_every_process(
    system: System, path: str, status: int, process: str
) -> None:
    name = f"e2e-{uuid.uuid4().hex}"
    async with visiting(system.url) as person:
        async with person.asking("GET", path, headers={"X-Request-ID": name}) as answer:
            assert answer.status == status
            assert answer.headers["X-Request-ID"] == name
            if status >= 400:
                assert (await answer.json())["error"]["request_id"] == name
    for where in ("gateway", process):
        assert all(line["request_id"] == name for line in await lines_with(system, where, name))


async def test_an_id_made_here_is_in_the_logs_too(system: System) -> None:
    async with visiting(system.url) as person:
        async with person.asking("GET", "/api/v2/tasks") as answer:
            name = answer.headers["X-Request-ID"]
    for where in ("gateway", "tasks"):
        assert await lines_with(system, where, name)


async def test_no_secret_is_in_any_log(system: System) -> None:
    async with visiting(system.url) as person:
        async with person.asking("GET", "/api/v2/auth/profile") as answer:
            name = answer.headers["X-Request-ID"]
        await lines_with(system, "auth", name)
        logs = "".join(path.read_text() for path in system.logs.glob("*.log"))
        for secret in (person.token, person.grant["refresh_token"], "a quiet morning walk"):
            assert secret not in logs
