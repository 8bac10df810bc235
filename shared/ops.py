"""The ops port of every process: liveness, readiness, health report, metrics."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import orjson
from aiohttp import web
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from shared.health import Health
from shared.metrics import LoopLag
from shared.middleware import guarded, put_request_id
from shared.process import StartRefused, background
from shared.server import ApiRunner

HEALTH: web.AppKey[Health] = web.AppKey("health", Health)
REGISTRY: web.AppKey[CollectorRegistry] = web.AppKey("registry", CollectorRegistry)
CHECKS: web.AppKey[Gauge] = web.AppKey("checks", Gauge)
# Makes an exposition of several processes out of that of this one.
Extend = Callable[[bytes], Awaitable[bytes]]
EXTEND: web.AppKey[Extend] = web.AppKey("extend")


async def live(_request: web.Request) -> web.Response:
    """Answers as long as the loop runs; looks at no dependency."""
    return web.json_response({"status": "alive"})


async def ready(request: web.Request) -> web.Response:
    fit = await request.app[HEALTH].ready()
    return web.json_response(
        {"status": "ready" if fit else "not ready"}, status=200 if fit else 503
    )


async def report(request: web.Request) -> web.Response:
    body = await request.app[HEALTH].report()
    return web.json_response(
        body=orjson.dumps(body), status=503 if body["status"] == "unhealthy" else 200
    )


async def metrics(request: web.Request) -> web.Response:
    # The checks run when somebody looks: a figure of the last probe could be of any age.
    for name, passed in (await request.app[HEALTH].verdicts()).items():
        request.app[CHECKS].labels(name).set(passed)
    body = generate_latest(request.app[REGISTRY])
    extend = request.app.get(EXTEND)
    if extend is not None:
        body = await extend(body)
    return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})


def ops_app(
    health: Health, registry: CollectorRegistry, extend: Extend | None = None
) -> web.Application:
    """The application behind the ops port; its errors have the house's shape."""
    app = web.Application(middlewares=[guarded])
    app.on_response_prepare.append(put_request_id)
    app[HEALTH] = health
    app[REGISTRY] = registry
    if extend is not None:
        app[EXTEND] = extend
    app[CHECKS] = Gauge(
        "health_check_passed",
        "1 if the dependency answered, and soon, during this very scrape",
        ("check",),
        registry=registry,
    )
    app.router.add_get("/health/live", live)
    app.router.add_get("/health/ready", ready)
    app.router.add_get("/health", report)
    app.router.add_get("/metrics", metrics)
    return app


@asynccontextmanager
async def ops_listener(
    host: str,
    port: int,
    health: Health,
    registry: CollectorRegistry,
    *,
    listener: socket.socket | None = None,
    extend: Extend | None = None,
) -> AsyncIterator[None]:
    """Serves the ops port, and measures the event loop's lag, while the block runs.

    With a `listener`, which is bound already, host and port count for nothing.
    """
    runner = ApiRunner(ops_app(health, registry, extend), shutdown_timeout=1.0)
    await runner.setup()
    try:
        if listener is not None:
            await web.SockSite(runner, listener).start()
        else:
            try:
                await web.TCPSite(runner, host, port, backlog=1024).start()
            except OSError as error:
                raise cannot_bind(host, port, error) from error
        async with background(LoopLag(registry).watch):
            yield
    finally:
        await runner.cleanup()


def cannot_bind(host: str, port: int, error: OSError) -> StartRefused:
    """The refusal for a port that cannot be had."""
    return StartRefused(f"{host}:{port} cannot be bound: {error.strerror}")
