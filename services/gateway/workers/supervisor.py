"""The process that binds the ports, keeps the workers going, and speaks for all of them."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import structlog
from aiohttp import ClientSession, DummyCookieJar

from services.gateway.app import DRAIN_LOOK_SECONDS, load
from services.gateway.downstream.inherited import inherited_listener
from services.gateway.settings import Settings
from services.gateway.workers.crew import Crew, name_of
from shared.health import Health
from shared.metrics import new_registry
from shared.ops import ops_listener
from shared.process import StartRefused, background

log = structlog.get_logger(__name__)

BACKLOG = 2048


@dataclass(slots=True, kw_only=True)
class CrewHealth(Health):
    """Ready when every worker is; the report has what each worker complains about."""

    crew: Crew

    async def report(self) -> dict[str, Any]:
        body = await Health.report(self)
        for number, told in sorted((await self.crew.reports()).items()):
            body["issues"] += [f"{name_of(number)}: {issue}" for issue in told["issues"]]
            if told["status"] != "healthy" and body["status"] == "healthy":
                body["status"] = "degraded"
        return body


@asynccontextmanager
async def supervise(settings: Settings) -> AsyncIterator[Health]:
    """Serves by WORKERS processes while the block runs. Raises StartRefused.

    They share one listening socket, held here: a worker that dies takes the requests that it had
    accepted with it and none that waits. Draining is theirs; it begins with that of this process.
    """
    load(settings)
    registry = new_registry("gateway")
    public = _public(settings)
    async with AsyncExitStack() as stack:
        stack.callback(public.close)
        session = await stack.enter_async_context(
            ClientSession(cookie_jar=DummyCookieJar(), trust_env=False)
        )
        crew = Crew(settings.workers, public, session, registry)
        health = CrewHealth(critical=crew.checks, listening=False, crew=crew)
        await stack.enter_async_context(
            ops_listener(
                settings.bind_host, settings.ops_port, health, registry, extend=crew.figures
            )
        )
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, crew.reload)
        stack.callback(loop.remove_signal_handler, signal.SIGHUP)
        end_seconds = settings.drain_seconds + settings.shutdown_seconds
        await stack.enter_async_context(crew.at_work(end_seconds))

        async def pass_the_drain_on() -> None:
            while not health.draining:  # noqa: ASYNC110 - a plain value of another module
                await asyncio.sleep(DRAIN_LOOK_SECONDS)
            crew.stop()

        await stack.enter_async_context(background(pass_the_drain_on))
        health.listening = True
        yield health


def _public(settings: Settings) -> socket.socket:
    """The socket that the workers accept on. Raises StartRefused."""
    try:
        found = inherited_listener()
        if found is None:
            family = socket.AF_INET6 if ":" in settings.bind_host else socket.AF_INET
            found = socket.create_server(
                (settings.bind_host, settings.port), family=family, backlog=BACKLOG
            )
    except ValueError as error:
        raise StartRefused(str(error)) from error
    except OSError as error:
        where = f"{settings.bind_host}:{settings.port}"
        raise StartRefused(f"{where} cannot be bound: {error.strerror}") from error
    log.info("listening", host=settings.bind_host, port=found.getsockname()[1])
    return found
