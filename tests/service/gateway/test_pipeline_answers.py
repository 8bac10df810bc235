"""What comes back: upstream failures in our shape, CORS, and the gateway's own pages."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from shared.errors import catalogue
from tests.ports import free_port
from tests.service.gateway.door import GENEROUS, Door, Upstream, door, upstream

CONFIG = (
    GENEROUS
    + """
[upstreams.echo]
endpoints = ["{url}"]
timeouts = { first_byte = 0.3 }
[upstreams.gone]
endpoints = ["http://127.0.0.1:{gone}"]
[[routes]]
prefix = "/echo"
upstream = "echo"
auth = "none"
[[routes]]
prefix = "/raw"
upstream = "echo"
auth = "none"
raw_errors = true
[[routes]]
prefix = "/gone"
upstream = "gone"
auth = "none"
[cors]
allow_origins = ["https://app.example"]
"""
)
ENVELOPE = {
    "error": {"code": "CONFLICT", "message": "m", "details": {"a": ["b"]}, "request_id": ""}
}


@pytest.fixture
async def service() -> AsyncIterator[Upstream]:
    async with upstream() as running:
        yield running


@pytest.fixture
async def gateway(service: Upstream, tmp_path: Path) -> AsyncIterator[Door]:
    config = tmp_path / "gateway.toml"
    text = CONFIG.replace("{url}", service.url).replace("{gone}", str(free_port()))
    config.write_text(text)
    async with door(config, service) as running:
        yield running


async def html(_request: web.Request) -> web.StreamResponse:
    return web.Response(
        status=500,
        text="<html>Traceback: secret</html>",
        content_type="text/html",
        headers={"Server": "nginx/1.0", "X-Powered-By": "PHP", "Set-Cookie": "a=1"},
    )


async def envelope(_request: web.Request) -> web.StreamResponse:
    return web.json_response(ENVELOPE, status=409)


async def too_long(_request: web.Request) -> web.StreamResponse:
    return web.json_response({**ENVELOPE, "more": "x" * 100_000}, status=409)


async def zipped(_request: web.Request) -> web.StreamResponse:
    return web.Response(
        status=404, body=gzip.compress(b"not here"), headers={"Content-Encoding": "gzip"}
    )


async def throttled(_request: web.Request) -> web.StreamResponse:
    return web.Response(status=429, text="slow down", headers={"Retry-After": "17"})


async def teapot(_request: web.Request) -> web.StreamResponse:
    return web.Response(status=418)


async def silent(_request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(1)
    return web.Response()


@pytest.mark.parametrize(
    ("handler", "status", "code"),
    [
        (html, 500, "INTERNAL_ERROR"),
        (too_long, 409, "CONFLICT"),
        (zipped, 404, "NOT_FOUND"),
        (throttled, 429, "RATE_LIMITED"),
        (teapot, 418, "BAD_REQUEST"),
    ],
)
async def test_errors_of_other_shapes_are_replaced(
    gateway: Door, service: Upstream, handler: object, status: int, code: str
) -> None:
    service.answers["/v2/echo"] = handler  # type: ignore[assignment]
    answer, body = await gateway.get("/api/v2/echo")
    assert (answer.status, body["error"]["code"]) == (status, code)
    assert body["error"]["request_id"] == answer.headers["X-Request-ID"]
    assert answer.headers["Proxy-Status"] == f"tasklane-gateway; received-status={status}"
    assert "secret" not in str(body)
    assert "X-Powered-By" not in answer.headers
    assert "Server" not in answer.headers
    if handler is html:
        assert answer.headers["Set-Cookie"] == "a=1"
    if handler is throttled:
        assert answer.headers["Retry-After"] == "17"
    head, _ = await gateway.ask("HEAD", "/api/v2/echo")
    assert head.status == status


async def test_our_shape_passes_untouched(gateway: Door, service: Upstream) -> None:
    service.answers["/v2/echo"] = envelope
    answer, body = await gateway.get("/api/v2/echo")
    assert (answer.status, body) == (409, ENVELOPE)
    assert "Proxy-Status" not in answer.headers


async def test_an_operator_may_let_errors_pass(gateway: Door, service: Upstream) -> None:
    service.answers["/v2/raw"] = html
    answer, _ = await gateway.get("/api/v2/raw")
    assert answer.status == 500
    assert answer.headers["Content-Type"].startswith("text/html")


async def test_a_service_that_is_gone(gateway: Door) -> None:
    answer, body = await gateway.get("/api/v2/gone")
    assert (answer.status, body["error"]["code"]) == (503, "SERVICE_UNAVAILABLE")
    assert answer.headers["Retry-After"].isdigit()
    assert answer.headers["Proxy-Status"] == "tasklane-gateway; error=connection_refused"
    assert answer.headers["API-Version"] == "v2"
    assert "127.0.0.1" not in str(body)


async def test_a_service_that_is_silent(gateway: Door, service: Upstream) -> None:
    service.answers["/v2/echo"] = silent
    answer, body = await gateway.get("/api/v2/echo")
    assert (answer.status, body["error"]["code"]) == (504, "UPSTREAM_TIMEOUT")
    assert answer.headers["Proxy-Status"] == "tasklane-gateway; error=http_response_timeout"


async def test_vary_of_the_service_and_ours_are_one_field(gateway: Door, service: Upstream) -> None:
    async def varies(_request: web.Request) -> web.StreamResponse:
        return web.json_response({}, headers={"Vary": "Accept, Cookie"})

    service.answers["/v1/echo"] = varies
    answer, _ = await gateway.get("/api/echo")
    assert answer.headers.getall("Vary") == ["Accept, Cookie, Origin, API-Version"]


@pytest.mark.parametrize("environment", ["development", "production"])
async def test_a_fault_of_our_own_is_in_the_log_and_hidden_in_production(
    service: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: str
) -> None:
    def broken(*_: object) -> None:
        raise ValueError("planted")

    config = tmp_path / "gateway.toml"
    config.write_text(GENEROUS)
    monkeypatch.setattr("services.gateway.pipeline.split_version", broken)
    options = {"environment": environment, "service_credential": "k" * 32}
    with capture_logs() as lines:
        async with door(config, service, **options) as running:
            answer, body = await running.get("/api/v2/x", headers={"X-Request-ID": "mine"})
    assert (answer.status, body["error"]["code"]) == (500, "INTERNAL_ERROR")
    (line,) = [line for line in lines if line["event"] == "unhandled_exception"]
    assert line["request_id"] == "mine"
    assert isinstance(line["exc_info"], ValueError)
    assert ("planted" in str(body)) is (environment == "development")


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [("https://app.example", "https://app.example"), ("https://evil.example", None)],
)
async def test_cors_is_on_errors_too(gateway: Door, origin: str, allowed: str | None) -> None:
    for path in ("/api/v2/echo", "/api/v2/nothing", "/api/v9/echo", "/api/v2/gone", "/health"):
        answer, _ = await gateway.get(path, headers={"Origin": origin})
        assert answer.headers.get("Access-Control-Allow-Origin") == allowed, path
        assert "Origin" in answer.headers["Vary"]


async def test_preflight(gateway: Door, service: Upstream) -> None:
    asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "PUT"}
    answer, _ = await gateway.ask("OPTIONS", "/api/v2/echo", headers=asked)
    assert answer.status == 204
    assert "PUT" in answer.headers["Access-Control-Allow-Methods"]
    assert answer.headers["API-Version"] == "v2"
    assert service.seen == []
    # Whoever is no browser of an allowed origin asks the service.
    await gateway.ask("OPTIONS", "/api/v2/echo")
    assert [request.method for request in service.seen] == ["OPTIONS"]


async def test_versions_page(gateway: Door) -> None:
    answer, body = await gateway.get("/api/versions")
    assert answer.status == 200
    assert body["default"] == "v1"
    assert [(one["version"], one["status"]) for one in body["versions"]] == [
        ("v1", "stable"),
        ("v2", "stable"),
    ]


async def test_the_catalogue_lists_every_code(gateway: Door) -> None:
    _, body = await gateway.get("/api/errors")
    assert [one["code"] for one in body["errors"]] == [error.code for error in catalogue()]
    assert {one["status"] for one in body["errors"]} >= {400, 401, 404, 410, 429, 431, 502, 504}


async def test_health_tells_of_services_and_nothing_internal(gateway: Door) -> None:
    answer, body = await gateway.get("/health")
    assert answer.status == 200
    services = {"auth": "healthy", "echo": "healthy", "gone": "unhealthy", "tasks": "healthy"}
    assert body == {"status": "degraded", "services": services}


async def test_the_documentation_needs_nobody_else(gateway: Door) -> None:
    answer, _ = await gateway.get("/")
    assert (answer.status, answer.headers["Location"]) == (308, "/docs")
    answer, _ = await gateway.get("/docs")
    page = await answer.text()
    assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    assert "http://" not in page
    assert "https://" not in page
    for name in (
        "docs.js", "swagger-ui-bundle.js", "swagger-ui-standalone-preset.js", "swagger-ui.css",
        "favicon-32x32.png",
    ):  # fmt: skip
        answer, _ = await gateway.get(f"/docs/{name}")
        assert answer.status == 200, name
        etag = answer.headers["ETag"]
        again, _ = await gateway.get(f"/docs/{name}", headers={"If-None-Match": etag})
        assert again.status == 304
    answer, _ = await gateway.get("/docs/%2e%2e/docs.py")
    assert answer.status == 400
    answer, _ = await gateway.get("/docs/docs.py")
    assert answer.status == 404


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /api/v2/echo HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 20_000 + b"\r\n\r\n", 431),
        (b"GET /api/v2/echo?q=" + b"a" * 9_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET /api/v2/" + b"a" * 20_000, 414),
        (b"GET /api/v2/echo?q=\xe9 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /api/v2/echo HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", 400),
    ],
    ids=["long-header", "long-query", "long-path", "not-ascii", "no-colon"],
)
async def test_what_is_refused_unread_says_the_version_it_asked_for(
    gateway: Door, head: bytes, status: int
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.server.port)
    writer.write(head)
    lines = (await reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
    writer.close()
    assert lines[0].split()[1] == str(status).encode()
    assert b"api-version: v2" in lines
    assert b"vary: accept, origin, api-version" in lines
