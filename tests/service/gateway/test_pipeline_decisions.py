"""What becomes of requests, over real sockets: routes, versions, identity, limits."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests import tokens
from tests.service.gateway.door import Door, Upstream, door, upstream

CONFIG = """
[versions.v3]
status = "retired"
successor = "v1"
[versions.v1]
status = "deprecated"
deprecated_at = 2026-01-01
sunset_at = 2999-01-01
successor = "v2"
[versions.v2]
status = "stable"
[limits.tiers]
anonymous = ["100000/minute"]
default = ["100000/minute"]
premium = ["3/hour"]
[[limits.routes]]
match = "POST /auth/login"
key = "address"
policies = ["2/hour"]
[upstreams.echo]
endpoints = ["{url}"]
[[routes]]
prefix = "/echo"
upstream = "echo"
auth = "none"
max_body = 10
[[routes]]
prefix = "/auth"
upstream = "auth"
auth = "optional"
[[routes]]
prefix = "/tasks"
upstream = "tasks"
auth = "required"
[[routes]]
prefix = "/.well-known/jwks.json"
upstream = "auth"
auth = "none"
versioned = false
"""


@pytest.fixture
async def service() -> AsyncIterator[Upstream]:
    async with upstream() as running:
        yield running


@pytest.fixture
async def gateway(service: Upstream, tmp_path: Path) -> AsyncIterator[Door]:
    config = tmp_path / "gateway.toml"
    config.write_text(CONFIG.replace("{url}", service.url))
    async with door(config, service) as running:
        yield running


def code_of(body: Any) -> str:
    return str(body["error"]["code"])


@pytest.mark.parametrize(
    ("path", "headers", "target", "version"),
    [
        ("/api/v2/echo/7?a=1&b=%20", {}, "/v2/echo/7?a=1&b=%20", "v2"),
        ("/api/echo", {}, "/v1/echo", "v1"),
        ("/api/echo", {"API-Version": "2"}, "/v2/echo", "v2"),
        ("/api/echo/x", {"Accept": "application/vnd.tasklane.v2+json"}, "/v2/echo/x", "v2"),
        ("/api/v2/echo/a%20b%c3%a4;x=1", {}, "/v2/echo/a%20b%c3%a4;x=1", "v2"),
        ("/.well-known/jwks.json", {}, None, None),
    ],
)
async def test_forwarded(
    gateway: Door,
    path: str,
    headers: dict[str, str],
    target: str | None,
    version: str | None,
) -> None:
    answer, body = await gateway.get(path, headers=headers)
    assert answer.status == 200
    if target is not None:
        assert body["path"] == target
    assert answer.headers.get("API-Version") == version


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "code"),
    [
        ("GET", "/api/v2/nothing", {}, 404, "NOT_FOUND"),
        ("GET", "/api/v2/echoes", {}, 404, "NOT_FOUND"),
        ("GET", "/wp-login.php", {}, 404, "NOT_FOUND"),
        ("GET", "/internal/exchange", {}, 404, "NOT_FOUND"),
        ("POST", "/api/v1/internal/exchange", {}, 404, "NOT_FOUND"),
        ("GET", "/api/v9/echo", {}, 400, "UNSUPPORTED_VERSION"),
        ("GET", "/api/v2/echo", {"API-Version": "1"}, 400, "VERSION_CONFLICT"),
        ("GET", "/api/v3/echo", {}, 410, "VERSION_RETIRED"),
        ("GET", "/api/v2/tasks", {}, 401, "UNAUTHORIZED"),
        ("GET", "/api/v2/tasks", {"X-API-Key": "tl_live_x"}, 401, "UNAUTHORIZED"),
        ("GET", "/api/v2/tasks", {"Authorization": "Bearer x.y.z"}, 401, "UNAUTHORIZED"),
        ("GET", "/api/v2/auth/profile", {"Authorization": "Basic eA=="}, 401, "UNAUTHORIZED"),
        ("GET", "/api/v2/tasks", {"Authorization": "Bearer x", "X-API-Key": "k"}, 400,
         "BAD_REQUEST"),
        ("POST", "/api/versions", {}, 405, "METHOD_NOT_ALLOWED"),
        ("OPTIONS", "/api/versions", {"Origin": "https://x.example"}, 405, "METHOD_NOT_ALLOWED"),
    ],
)  # fmt: skip
async def test_refused(
    gateway: Door,
    service: Upstream,
    method: str,
    path: str,
    headers: dict[str, str],
    status: int,
    code: str,
) -> None:
    answer, body = await gateway.ask(method, path, headers=headers)
    assert (answer.status, code_of(body)) == (status, code)
    assert service.seen == []
    assert answer.headers["X-Request-ID"] == body["error"]["request_id"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert ("API-Version" in answer.headers) is path.startswith("/api")
    assert "Accept" in answer.headers["Vary"]
    assert "Server" not in answer.headers
    if status == 401:
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    if status == 405:
        assert answer.headers["Allow"] == "GET, HEAD"


async def test_errors_as_problem_documents(gateway: Door) -> None:
    answer, body = await gateway.get(
        "/api/v2/nothing", headers={"Accept": "application/problem+json"}
    )
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert (body["status"], body["code"]) == (404, "NOT_FOUND")
    assert body["type"] == "/api/errors#NOT_FOUND"


async def test_a_deprecated_version_says_so_on_errors_too(gateway: Door) -> None:
    for path, status in (("/api/v1/echo", 200), ("/api/v1/nothing", 404)):
        answer, _ = await gateway.get(path)
        assert answer.status == status
        assert answer.headers["Deprecation"] == "@1767225600"
        assert answer.headers["Sunset"] == "Tue, 01 Jan 2999 00:00:00 GMT"
        assert answer.headers["Link"] == '</api/v2>; rel="successor-version"'
    answer, _ = await gateway.get("/api/v2/echo")
    assert "Deprecation" not in answer.headers


async def test_identity_reaches_the_service_as_the_token_and_nothing_else(
    gateway: Door, service: Upstream
) -> None:
    token = tokens.token()
    answer, _ = await gateway.get(
        "/api/v2/tasks",
        token=token,
        headers={
            "X-User-ID": "1",
            "X-Forwarded-For": "6.6.6.6",
            "X-Request-ID": "mine",
            "traceparent": "00-a-b-01",
            "Cookie": "theme=dark",
        },
    )
    assert answer.status == 200
    assert answer.headers["X-Request-ID"] == "mine"
    (seen,) = service.seen
    assert seen.headers["Authorization"] == f"Bearer {token}"
    assert seen.headers["X-Forwarded-For"] == "127.0.0.1"
    assert seen.headers["X-Request-ID"] == "mine"
    assert seen.headers["traceparent"] == "00-a-b-01"
    assert seen.headers["Cookie"] == "theme=dark"
    assert "X-User-ID" not in seen.headers


@pytest.mark.parametrize("offered", ["x" * 129, "a\tb", "caf\u00e9"])
async def test_a_request_id_that_is_none_is_replaced(gateway: Door, offered: str) -> None:
    answer, _ = await gateway.get("/api/v2/echo", headers={"X-Request-ID": offered})
    assert answer.headers["X-Request-ID"] != offered
    assert len(answer.headers["X-Request-ID"]) == 32


async def test_a_route_bounds_its_bodies(gateway: Door, service: Upstream) -> None:
    answer, _ = await gateway.ask("POST", "/api/v2/echo", data=b"0123456789")
    assert answer.status == 200
    answer, body = await gateway.ask("POST", "/api/v2/echo", data=b"01234567890")
    assert (answer.status, code_of(body)) == (413, "PAYLOAD_TOO_LARGE")
    # In the words of the services, so that a client needs to know one shape only.
    assert body["error"]["details"] == {"body": ["At most 10 bytes."]}
    assert len(service.seen) == 1


async def test_the_limit_of_a_route_applies_beside_that_of_the_tier(
    gateway: Door, service: Upstream
) -> None:
    answers = [await gateway.ask("POST", "/api/v2/auth/login", json={}) for _ in range(3)]
    assert [answer.status for answer, _ in answers] == [200, 200, 429]
    good, refused = answers[0][0].headers, answers[2][0].headers
    assert good["X-RateLimit-Limit"] == "2"
    assert good["X-RateLimit-Remaining"] == "1"
    assert good["RateLimit-Policy"] == '"anonymous";q=100000;w=60, "post-auth-login";q=2;w=3600'
    assert refused["X-RateLimit-Remaining"] == "0"
    assert 1700 <= int(refused["Retry-After"]) <= 1800
    body = answers[2][1]
    assert code_of(body) == "RATE_LIMITED"
    assert [one["policy"] for one in body["error"]["details"]["policies"]] == ["post-auth-login"]
    assert len(service.seen) == 2


async def test_who_shows_bad_credentials_too_often_is_told_to_wait(
    service: Upstream, tmp_path: Path
) -> None:
    config = tmp_path / "refusals.toml"
    config.write_text(
        '[limits]\nrefused_credentials = ["3/hour"]\n[limits.tiers]\ndefault = ["2/hour"]\n'
    )
    good = tokens.token()
    bad: list[dict[str, str]] = [
        {"Authorization": "Bearer a.b.c"},
        {"X-API-Key": "tl_live_x"},
        {},
        {"Authorization": f"Bearer {good}x"},
        {},
    ]
    async with door(config, service) as gateway:
        answers = [await gateway.get("/api/v2/tasks", headers=headers) for headers in bad]
        assert [answer.status for answer, _ in answers] == [401, 401, 401, 429, 429]
        assert code_of(answers[0][1]) == "UNAUTHORIZED"
        refusal, body = answers[-1]
        assert code_of(body) == "RATE_LIMITED"
        assert int(refusal.headers["Retry-After"]) > 1000
        assert '"refused-credentials";q=3;w=3600' in refusal.headers["RateLimit-Policy"]
        assert body["error"]["details"]["policies"][0]["policy"] == "refused-credentials"
        # A good credential of the same address passes, and has all of its own quota.
        answer, _ = await gateway.get("/api/v2/tasks", token=good)
        assert (answer.status, answer.headers["X-RateLimit-Remaining"]) == (200, "1")
        # What needs none is no matter of credentials.
        assert (await gateway.get("/api/versions"))[0].status == 200
        metrics = await gateway.metrics()
        assert 'decision="refused",policy="refused-credentials"} 2.0' in metrics


async def test_the_status_costs_nothing_and_tells_what_is_left(gateway: Door) -> None:
    token = tokens.token(tier="premium")
    for left in (3, 3):
        answer, body = await gateway.get("/api/rate-limit-status", token=token)
        assert answer.status == 200
        assert (body["tier"], body["key"]) == ("premium", "user")
        assert body["policies"][0] == {
            "policy": "premium",
            "limit": 3,
            "period_seconds": 3600,
            "remaining": left,
            "reset_seconds": 0,
        }
    statuses = [(await gateway.get("/api/v2/tasks", token=token))[0].status for _ in range(4)]
    assert statuses == [200, 200, 200, 429]
    answer, body = await gateway.get("/api/rate-limit-status", token=token)
    assert (answer.status, body["policies"][0]["remaining"]) == (200, 0)
    answer, body = await gateway.get("/api/rate-limit-status")
    assert (body["tier"], body["key"]) == ("anonymous", "address")


async def test_head_works_where_get_does(gateway: Door) -> None:
    for path in ("/api/v2/echo", "/api/versions", "/health", "/docs"):
        plain, _ = await gateway.get(path)
        head, _ = await gateway.ask("HEAD", path)
        assert head.status == plain.status == 200
        assert head.headers["Content-Type"] == plain.headers["Content-Type"]
    head, _ = await gateway.ask("HEAD", "/api/v2/nothing")
    assert head.status == 404


async def test_what_happened_is_in_the_metrics(gateway: Door) -> None:
    await gateway.get("/api/v2/echo/1")
    await gateway.get("/api/v2/echo/2")
    await gateway.get("/api/v2/nothing/random/path")
    await gateway.get("/api/v2/tasks", token=tokens.token())
    text = await gateway.metrics()
    for line in (
        'http_requests_total{method="GET",route="/api/v2/echo",status="200"} 2.0',
        'http_requests_total{method="GET",route="unmatched",status="404"} 1.0',
        'upstream_requests_total{outcome="ok",upstream="echo"} 2.0',
        'api_version_requests_total{signal="url",version="v2"} 4.0',
        'token_cache_lookups_total{result="miss"} 1.0',
        'limiter_decisions_total{decision="admitted",policy="anonymous"} 3.0',
        "config_last_reload_success 1.0",
        "http_requests_in_flight 0.0",
    ):
        assert line in text, line
    assert "random" not in text
