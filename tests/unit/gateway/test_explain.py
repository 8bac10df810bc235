"""The commands that tell what the gateway would do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from services.gateway.config_file import SHIPPED, read_config
from services.gateway.explain import explain, routes
from shared.cookies import Cookies
from shared.identity import Tier

ROOT = Path(__file__).resolve().parents[3]
COOKIES = Cookies(production=False)
CONFIG = read_config(SHIPPED, {})


async def facts(
    method: str, target: str, *headers: str, tier: Tier | None = None
) -> dict[str, str]:
    return (await explain(CONFIG, method, target, list(headers), tier, cookies=COOKIES)).facts


async def test_a_request_that_is_forwarded() -> None:
    found = await facts("GET", "/api/tasks/7?x=1", "API-Version: 2", "Authorization: Bearer x")
    assert found == {
        "request": "GET /api/tasks/7?x=1",
        "route": "/tasks",
        "version": "v2 (stable)",
        "identity": "bearer token, required here",
        "tier": "default",
        "policies": "default 100/60s",
        "cost": "1",
        "upstream": "tasks at http://127.0.0.1:8082",
        "target": "/v2/tasks/7?x=1",
        "time-outs": "connect 1, first byte 10, idle 30, total 30",
        "retries": "1",
        "body": "at most 1048576 bytes",
        "compression": "none",
        "cache": "none",
    }


async def test_the_policies_of_a_route_and_of_a_tier() -> None:
    found = await facts("POST", "/api/v1/auth/login")
    assert found["policies"] == "anonymous 60/60s, post-auth-login 10/60s (address)"
    found = await facts("GET", "/api/v1/tasks", "X-API-Key: k", tier=Tier.PREMIUM)
    assert (found["identity"], found["policies"]) == ("API key, required here", "premium 1000/60s")


@pytest.mark.parametrize(
    ("method", "target", "headers", "answer"),
    [
        ("GET", "/api/v2/tasks", [], "401 UNAUTHORIZED"),
        ("GET", "/api/v2/tasks", ["X-API-Key: k", "Cookie: session=1"], "400 BAD_REQUEST"),
        ("GET", "/api/v9/tasks", [], "400 UNSUPPORTED_VERSION"),
        ("GET", "/api/v1/tasks", ["API-Version: 2"], "400 VERSION_CONFLICT"),
        ("GET", "/nothing", [], "404 NOT_FOUND"),
        ("GET", "/api/v2/internal/exchange", [], "404 NOT_FOUND"),
        ("DELETE", "/api/versions", [], "405 METHOD_NOT_ALLOWED"),
        ("GET", "/api/errors", [], "a page"),
        ("TRACE", "/api/v2/tasks", [], "405 METHOD_NOT_ALLOWED"),
        ("GET", "/a%2fb", [], "400 BAD_REQUEST: Malformed request: the path must not have an"),
        ("GET", "/a", ["X_Y: z"], "400 BAD_REQUEST"),
        ("GET", "/a", ["X: \u20ac"], "400 BAD_REQUEST"),
        ("GET", "/" + "a" * 9000, [], "414 URI_TOO_LONG"),
    ],
)  # fmt: skip
async def test_what_the_gateway_would_answer_itself(
    method: str, target: str, headers: list[str], answer: str
) -> None:
    found = await facts(method, target, *headers)
    assert found["answer"].startswith(answer)
    assert "upstream" not in found


def test_every_route_has_a_line() -> None:
    lines = list(routes(CONFIG))
    assert [line.split()[0] for line in lines] == sorted(route.prefix for route in CONFIG.routes)
    (imports,) = [line for line in lines if line.startswith("/tasks/import")]
    for part in ("v1,v2", "required", "tasks", "default 100/60s", "total 300", "body 67108864"):
        assert part in imports


def test_a_bad_configuration_is_named(tmp_path: Path) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text("surprise = 1")
    done = subprocess.run(
        [sys.executable, "-m", "services.gateway", "routes"],
        cwd=ROOT,
        env={"GATEWAY_CONFIG": str(config)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (78, "")
    assert "surprise:" in done.stderr
