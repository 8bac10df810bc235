"""A Service description becomes a running aiohttp process: application, ops listener, drain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import cast

import orjson
from aiohttp import web
from aiohttp.typedefs import Middleware
from prometheus_client import CollectorRegistry

from shared.dispatch import Dispatch
from shared.endpoints import Endpoint
from shared.errors import MethodNotAllowed
from shared.health import Check, Health
from shared.listener import Listener, bound_sockets
from shared.logs import AccessLog
from shared.metrics import HttpMetrics
from shared.middleware import (
    ACCESS_LOG,
    DEVELOPMENT,
    METRICS,
    put_request_id,
    served,
)
from shared.openapi import document
from shared.ops import cannot_bind, live, ops_listener
from shared.process import background
from shared.server import SHORTCUT, ApiRunner, Handle
from shared.settings import ProcessSettings
from shared.version import API_VERSIONS

ACCESS_LOG_FLUSH_SECONDS = 0.5
BACKLOG = 1024
LAST_REQUESTS_SECONDS = 0.5

# A resource is one generator: it puts what it opens under its key, and closes it afterwards.
Resource = Callable[[web.Application], AsyncIterator[None]]


@dataclass(frozen=True, kw_only=True)
class Service:
    """Everything that makes one service: its policy table, its resources in start order, and
    the checks that its readiness hangs on. One of the resources sets middleware.VERIFIER."""

    name: str
    title: str
    endpoints: tuple[Endpoint, ...]
    resources: tuple[Resource, ...]
    registry: CollectorRegistry
    critical: Mapping[str, Check]
    optional: Mapping[str, Check]
    first: Mapping[str, Check] = field(default_factory=dict)
    # Inside those that all services have.
    middlewares: tuple[Middleware, ...] = ()
    # Told when the process listens no more, so that no request is kept waiting until it is cut.
    stopping: tuple[Callable[[web.Application], Awaitable[None]], ...] = ()


def create_app(
    service: Service, settings: ProcessSettings, health: Health | None = None
) -> web.Application:
    """The application behind the service's port, ready for an AppRunner or a test client.

    `health` is what the process says of itself on its ops port.
    """
    app = web.Application(middlewares=[served, *service.middlewares])
    app[METRICS] = HttpMetrics(service.registry)
    app[ACCESS_LOG] = AccessLog(service.name)
    app[DEVELOPMENT] = settings.development
    app.on_response_prepare.append(put_request_id)
    app.on_shutdown.extend(service.stopping)
    app.cleanup_ctx.append(_flush_access_log)
    app.cleanup_ctx.extend(service.resources)
    _register(app.router, service.endpoints)
    for version in API_VERSIONS:
        app.router.add_get(f"/{version}/openapi.json", _serve_document(service, version))
    app.router.add_get("/health/live", live)
    app.router.add_get("/health/accepting", _accepting(health or Health()))

    def shortcut(handle: Handle) -> Handle:
        return Dispatch(app, handle)

    app[SHORTCUT] = shortcut
    return app


@asynccontextmanager
async def serve(
    service: Service, settings: ProcessSettings, *, port: int, ops_port: int
) -> AsyncIterator[Health]:
    """Serves while the block runs. Leaving it stops accepting and lets requests end in time."""
    # The ops port comes first, so that a slow start can be watched; it says so until we listen.
    health = Health(
        critical=service.critical,
        optional=service.optional,
        first=service.first,
        listening=False,
    )
    app = create_app(service, settings, health)
    runner = ApiRunner(
        app, shutdown_timeout=settings.shutdown_seconds, is_leaving=lambda: health.draining
    )
    async with ops_listener(settings.bind_host, ops_port, health, service.registry):
        await runner.setup()
        try:
            async with _listening(runner, settings, port):
                health.listening = True
                yield health
        finally:
            await runner.cleanup()


@asynccontextmanager
async def _listening(
    runner: ApiRunner, settings: ProcessSettings, port: int
) -> AsyncIterator[None]:
    """Listens while the block runs. Raises StartRefused when the port cannot be had."""
    try:
        sockets = await bound_sockets(settings.bind_host, port, reuse_port=False)
    except OSError as error:
        raise cannot_bind(settings.bind_host, port, error) from error
    make = cast("Callable[[], asyncio.BaseProtocol]", runner.server)
    listener = Listener(asyncio.get_running_loop(), sockets, make, BACKLOG)
    try:
        yield
    finally:
        await listener.close()
        if settings.drain_seconds:
            # Behind a proxy: what is on its way on connections that there are is still answered.
            await asyncio.sleep(LAST_REQUESTS_SECONDS)


def _register(router: web.UrlDispatcher, endpoints: Iterable[Endpoint]) -> None:
    """Routes every endpoint, in whatever order they stand; a path refuses its other methods.

    Without that refusal DELETE on `/tasks/import` would be one of `/tasks/{task_id}`.
    """
    by_path: dict[str, web.Resource] = {}
    for endpoint in endpoints:
        if endpoint.path not in by_path:
            by_path[endpoint.path] = router.add_resource(endpoint.path)
        resource = by_path[endpoint.path]
        # HEAD is GET without the body (RFC 9110 section 9.3.2), so it needs no line of its own.
        if endpoint.method == "GET":
            resource.add_route("HEAD", endpoint.__call__)
        resource.add_route(endpoint.method, endpoint.__call__)
    for resource in by_path.values():
        resource.add_route("*", _refuse_method(sorted({route.method for route in resource})))


def _refuse_method(allowed: list[str]) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def refuse(_request: web.Request) -> web.StreamResponse:
        raise MethodNotAllowed(allowed)

    return refuse


def _accepting(health: Health) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """What a proxy with several processes of a kind asks each of them, and often."""

    async def accepting(_request: web.Request) -> web.Response:
        word, status = ("accepting", 200) if await health.accepting() else ("not accepting", 503)
        return web.json_response({"status": word}, status=status)

    return accepting


def _serve_document(
    service: Service, version: str
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    # Made when it is first asked for: it takes a good part of a start, and few processes are asked.
    @cache
    def page() -> bytes:
        return orjson.dumps(document(service.title, version, service.endpoints))

    async def openapi(_request: web.Request) -> web.Response:
        return web.Response(body=page(), headers={"Content-Type": "application/json"})

    return openapi


async def _flush_access_log(app: web.Application) -> AsyncIterator[None]:
    access_log = app[ACCESS_LOG]

    async def flush() -> None:
        while True:
            await asyncio.sleep(ACCESS_LOG_FLUSH_SECONDS)
            access_log.flush()

    async with background(flush):
        yield
    access_log.flush()
