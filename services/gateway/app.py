"""Puts the gateway together: settings and configuration in, a serving process out."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog
from aiohttp import ClientSession, DummyCookieJar
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from services.gateway.cache.stage import CacheStage
from services.gateway.clients import Clients
from services.gateway.config import Access, Config
from services.gateway.config_file import ConfigError, read_config
from services.gateway.csrf import CsrfStage
from services.gateway.door_certificate import DoorCertificate
from services.gateway.downstream.inherited import inherited_listener
from services.gateway.downstream.server import Server
from services.gateway.headers import security_headers
from services.gateway.identify import IdentityStage
from services.gateway.identity.link import AuthLink
from services.gateway.limits.memory import MemoryLimiter
from services.gateway.limits.redis import RedisLimiter
from services.gateway.limits.stage import LimiterMetrics, LimitStage
from services.gateway.observe import DataPlaneFigures, Observer
from services.gateway.pages import Pages
from services.gateway.pages.sources import Sources
from services.gateway.pipeline import Gateway
from services.gateway.policy import GatewayPolicy
from services.gateway.reload import Reloader, transports
from services.gateway.rules import make_rules
from services.gateway.settings import Settings
from services.gateway.upstream.upstreams import Upstreams
from shared.cookies import Cookies
from shared.health import Check, Health
from shared.identity import AccessTokenVerifier
from shared.jwks import JwksCache, http_fetch
from shared.logs import AccessLog
from shared.metrics import new_registry
from shared.ops import cannot_bind, ops_listener
from shared.process import StartRefused, background

log = structlog.get_logger(__name__)

JWKS_PATH = "/.well-known/jwks.json"
ACCESS_LOG_FLUSH_SECONDS = 0.5
ACCESS_LOG_FLUSH_BYTES = 65_536
# What a pipe takes as one even when others write to it too (PIPE_BUF of Linux).
SHARED_LOG_BYTES = 4_096
DRAIN_LOOK_SECONDS = 0.1
FIT_SECONDS = 5.0
FIT_LOOK_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Listeners:
    """Sockets that somebody else has bound, for a process that is one of several."""

    public: socket.socket | None = None
    ops: socket.socket | None = None


ALONE = Listeners()


@asynccontextmanager
async def start(settings: Settings) -> AsyncIterator[Health]:
    """Serves while the block runs. Raises StartRefused with every fault of the configuration."""
    async with running(settings) as (health, _server):
        yield health


@asynccontextmanager
async def running(
    settings: Settings, listeners: Listeners = ALONE
) -> AsyncIterator[tuple[Health, Server]]:
    """The same, with the server, whose port the system may have chosen."""
    config = load(settings)
    registry = new_registry("gateway")
    access_log = _access_log(is_alone=listeners is ALONE)
    observer = Observer(registry, access_log)
    async with AsyncExitStack() as stack:
        stack.callback(access_log.flush)
        session = await stack.enter_async_context(
            ClientSession(cookie_jar=DummyCookieJar(), trust_env=False)
        )
        sources = Sources(session)
        jwks = _jwks(settings, config, session)
        jwks.export_age(registry)
        limiter = _redis(settings, config)
        if limiter is not None:
            stack.push_async_callback(limiter.close)
        link = AuthLink(
            session,
            lambda: _auth_endpoints(gateway),
            registry,
            credential=settings.service_credential if "auth" in config.upstreams else "",
            stale_seconds=settings.revocation_stale_seconds,
        )
        gateway = _gateway(settings, config, sources, jwks, link, limiter, registry, observer)
        jwks.withdrawn = gateway.forget_judgements
        policy = GatewayPolicy(gateway, observer, development=settings.development)
        upstreams = Upstreams(transports(config))
        stack.callback(upstreams.close)
        server = Server(policy, upstreams, config.server)
        registry.register(
            DataPlaneFigures(clients=lambda: server.connections, upstreams=upstreams.snapshot)
        )
        health = Health(
            critical={"keys": lambda: _keys_known(jwks), "revocations": link.check},
            optional=_optional_checks(gateway, sources, limiter),
            listening=False,
        )
        await stack.enter_async_context(_ops_port(settings, listeners, health, registry))
        door = DoorCertificate(settings.public_address, registry)
        jobs = (jwks.keep_fresh, partial(_flush, access_log), partial(_watch_drain, health, server))
        await stack.enter_async_context(background(*jobs, door.watch, *link.jobs(server.cut)))
        reloader = Reloader(lambda: load(settings), gateway, server, observer)
        stack.enter_context(reloader.on_signal(signal.SIGHUP))
        await stack.enter_async_context(background(*_looks_at_the_file(settings, reloader)))
        await _listen(server, settings, health, listeners.public)
        health.listening = True
        stack.push_async_callback(server.stop, settings.shutdown_seconds)
        yield health, server


def _ops_port(
    settings: Settings, listeners: Listeners, health: Health, registry: CollectorRegistry
) -> AbstractAsyncContextManager[None]:
    return ops_listener(
        settings.bind_host, settings.ops_port, health, registry, listener=listeners.ops
    )


def _access_log(*, is_alone: bool) -> AccessLog:
    if is_alone:
        return AccessLog("gateway", flush_bytes=ACCESS_LOG_FLUSH_BYTES)
    return AccessLog("gateway", flush_bytes=SHARED_LOG_BYTES, write_bytes=SHARED_LOG_BYTES)


def _looks_at_the_file(
    settings: Settings, reloader: Reloader
) -> Iterator[Callable[[], Coroutine[Any, Any, None]]]:
    """The job that takes a changed configuration by itself, if that is wanted."""
    if settings.config_watch_seconds:
        yield partial(reloader.watch, settings.config_path, settings.config_watch_seconds)


def _gateway(
    settings: Settings,
    config: Config,
    sources: Sources,
    jwks: JwksCache,
    link: AuthLink,
    limiter: RedisLimiter | None,
    registry: CollectorRegistry,
    observer: Observer,
) -> Gateway:
    """The stages with their state."""
    clients = Clients(settings.trusted_networks)
    limits = LimitStage(MemoryLimiter(), limiter, LimiterMetrics(registry))
    verifier = AccessTokenVerifier(
        jwks, issuer=settings.token_issuer, audience=settings.token_audience
    )
    cookies = Cookies(production=not settings.development)
    observer.config_taken(config.digest)
    return Gateway(
        rules=make_rules(config, observer.version_seen),
        clients=clients,
        identity=IdentityStage(verifier, link.revoked, registry, link.auth, cookies=cookies),
        csrf=CsrfStage(clients, registry, production=cookies.production),
        limits=limits,
        cache=CacheStage(registry),
        pages=Pages(sources, limits, clients, cookies),
        security=security_headers(production=cookies.production),
    )


def load(settings: Settings) -> Config:
    """The configuration that the settings name. Raises StartRefused."""
    try:
        config = read_config(settings.config_path, settings.upstream_endpoints)
    except ConfigError as error:
        raise StartRefused(str(error)) from error
    wanted = any(route.access is not Access.NONE for route in config.routes)
    if wanted and settings.jwks_url is None and "auth" not in config.upstreams:
        raise StartRefused("AUTH_JWKS_URL: must be set where there is no upstream auth")
    # Without the credential no revocation would ever be heard of: in production that is no start.
    follows = wanted and "auth" in config.upstreams
    if follows and not settings.development and not settings.service_credential:
        raise StartRefused("SERVICE_CREDENTIAL: must be set in production")
    return config


def _auth_endpoints(gateway: Gateway) -> tuple[str, ...]:
    """Where auth is, by the configuration in force."""
    upstream = gateway.rules.config.upstreams.get("auth")
    return () if upstream is None else tuple(upstream.endpoints)


def _jwks(settings: Settings, config: Config, session: ClientSession) -> JwksCache:
    url = settings.jwks_url
    if url is None and "auth" in config.upstreams:
        url = config.upstreams["auth"].endpoints[0].rstrip("/") + JWKS_PATH
    if url is None:
        return JwksCache(_no_keys, refresh_seconds=3_600)
    return JwksCache(http_fetch(session, url))


async def _no_keys() -> bytes:
    raise ValueError("no key set is configured")


async def _keys_known(jwks: JwksCache) -> None:
    """Raises while no key set was ever fetched: the gateway could only refuse."""
    if jwks.age_seconds is None:
        raise ConnectionError("no key set yet")


def _redis(settings: Settings, config: Config) -> RedisLimiter | None:
    if settings.redis_url is None:
        return None
    try:
        # A retry would make a request wait; the breaker and the next request are the retry.
        client = Redis.from_url(settings.redis_url, retry=Retry(NoBackoff(), 0))
    except ValueError as error:
        raise StartRefused(f"REDIS_URL: {error}") from error
    return RedisLimiter(client, timeout=config.limits.redis_timeout)


def _optional_checks(
    gateway: Gateway, sources: Sources, limiter: RedisLimiter | None
) -> dict[str, Check]:
    checks: dict[str, Check] = {
        name: _upstream_check(gateway, sources, name) for name in gateway.rules.config.upstreams
    }
    if limiter is not None:
        checks["redis"] = limiter.ping
    return checks


def _upstream_check(gateway: Gateway, sources: Sources, name: str) -> Check:
    async def check() -> None:
        upstream = gateway.rules.config.upstreams.get(name)
        if upstream is not None:
            await sources.get(upstream, "/health/live", 1.0)

    return check


async def _listen(
    server: Server, settings: Settings, health: Health, given: socket.socket | None
) -> None:
    try:
        listener = given or inherited_listener()
        if listener is not None:
            # Clients wait in its queue already: better there than for a 503.
            await _fit(health)
        await server.start(settings.bind_host, settings.port, listener=listener)
    except ValueError as error:
        raise StartRefused(str(error)) from error
    except OSError as error:
        raise cannot_bind(settings.bind_host, settings.port, error) from error
    log.info("listening", host=settings.bind_host, port=server.port)


async def _fit(health: Health) -> None:
    """Waits until every token can be judged, within bounds: some requests need none."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(FIT_SECONDS):
            while not all((await health.critical_verdicts()).values()):  # noqa: ASYNC110
                await asyncio.sleep(FIT_LOOK_SECONDS)


async def _flush(access_log: AccessLog) -> None:
    while True:
        await asyncio.sleep(ACCESS_LOG_FLUSH_SECONDS)
        access_log.flush()


async def _watch_drain(health: Health, server: Server) -> None:
    """Answers say `Connection: close` as soon as the process is to end."""
    while not health.draining:  # noqa: ASYNC110 - a plain value of another module, looked at
        await asyncio.sleep(DRAIN_LOOK_SECONDS)
    server.begin_drain()
