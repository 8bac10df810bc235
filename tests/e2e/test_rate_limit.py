"""The answer to a client that asks too often."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.e2e.conftest import System
from tests.e2e.visitor import error_of, visiting
from tests.ports import free_port

SCARCE = """
[limits]
on_redis_failure = "local"
[limits.tiers]
anonymous = ["1000/minute"]
default = ["5/hour"]
premium = ["1000/minute"]
admin = ["1000/minute"]
"""


@pytest.fixture
async def scarce_url(system: System, tmp_path: Path) -> AsyncIterator[str]:
    """The address of a second gateway before the same services, with limits soon reached."""
    config = tmp_path / "gateway.toml"
    config.write_text(SCARCE)
    port = str(free_port())
    variables = {
        "ENVIRONMENT": "development",
        "GATEWAY_PORT": port,
        "GATEWAY_OPS_PORT": str(free_port()),
        "GATEWAY_CONFIG": str(config),
        "AUTH_UPSTREAM": system.address("AUTH_PORT"),
        "TASKS_UPSTREAM": system.address("TASKS_PORT"),
        "AUTH_JWKS_URL": system.address("AUTH_PORT") + "/.well-known/jwks.json",
    }
    gateway = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.gateway", stdout=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"], **variables},
    )  # fmt: skip
    try:
        assert gateway.stdout is not None
        async with asyncio.timeout(60):
            while b'"started"' not in (line := await gateway.stdout.readline()):
                assert line, "the gateway ended before it had started"
        yield f"http://127.0.0.1:{port}"
    finally:
        gateway.terminate()
        await gateway.communicate()


async def test_what_comes_too_often_is_refused_and_told_when_to_return(scarce_url: str) -> None:
    async with visiting(scarce_url) as person, visiting(scarce_url) as other:
        for left in (4, 3, 2, 1, 0):
            async with person.asking("GET", "/api/v2/tasks") as answer:
                assert answer.status == 200
                assert answer.headers["X-RateLimit-Limit"] == "5"
                assert answer.headers["X-RateLimit-Remaining"] == str(left)
        for _ in range(3):
            async with person.asking("GET", "/api/v2/tasks") as answer:
                assert answer.status == 429
                error_of(await answer.json(), "RATE_LIMITED")
                assert 0 < int(answer.headers["Retry-After"]) <= 3600
                assert answer.headers["X-RateLimit-Remaining"] == "0"
                assert int(answer.headers["X-RateLimit-Reset"]) > 1_700_000_000
                assert "RateLimit" in answer.headers
                assert "RateLimit-Policy" in answer.headers
                assert answer.headers["API-Version"] == "v2"
        async with person.asking("POST", "/api/v2/tasks", json={"title": "x"}) as answer:
            assert answer.status == 429
        assert (await person.ask("GET", "/api/rate-limit-status", 200)) is not None
        await other.ask("GET", "/api/v2/tasks", 200)
