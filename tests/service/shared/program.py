"""A process as shared/ runs it, for the tests of its life: started with a scenario as argument."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog
from aiohttp import web
from marshmallow import ValidationError

from shared.answers import Reply
from shared.app import Service, serve
from shared.endpoints import Endpoint, Given
from shared.health import Health
from shared.metrics import new_registry
from shared.middleware import VERIFIER
from shared.process import StartRefused, background, run
from shared.settings import ProcessSettings, port, setting
from tests.tokens import verifier


def no_default(value: str) -> None:
    if value == "default":
        raise ValidationError("Must not be the default.")


@dataclass(frozen=True)
class Settings(ProcessSettings):
    number: int = setting("SAMPLE_PORT", "Its port.", check=port)
    ops: int = setting("SAMPLE_OPS_PORT", "Its ops port.", check=port)
    secret: str = setting("SAMPLE_SECRET", "A secret.", check=no_default, secret=True)


async def slow(_request: web.Request, _given: Given) -> Reply:
    structlog.get_logger().info("entered")
    await asyncio.sleep(1)
    return Reply()


async def memory(_request: web.Request, _given: Given) -> Reply:
    structlog.get_logger().info("asked", kept=gc.get_freeze_count(), each=gc.get_threshold()[0])
    return Reply()


async def stuck(_request: web.Request, _given: Given) -> Reply:
    structlog.get_logger().info("entered")
    await asyncio.sleep(60)
    return Reply()


async def dying() -> None:
    raise RuntimeError("a job of the background")


@asynccontextmanager
async def start(settings: Settings) -> AsyncIterator[Health]:
    async def resource(app: web.Application) -> AsyncIterator[None]:
        app[VERIFIER] = verifier()
        yield
        structlog.get_logger().info("closed")

    if "refuse" in sys.argv:
        raise StartRefused("the database is too old:\nrun migrate")
    service = Service(
        name="sample",
        title="Sample",
        endpoints=tuple(
            Endpoint(
                method="GET",
                path=f"/v1/{handler.__name__}",
                handler=handler,
                summary="Waits",
                permission=None,
                status=204,
            )
            for handler in (slow, memory, stuck)
        ),
        resources=(resource,),
        registry=new_registry("sample"),
        critical={},
        optional={},
    )
    jobs = [dying] if "dying" in sys.argv else []
    async with background(*jobs):
        async with serve(service, settings, port=settings.number, ops_port=settings.ops) as health:
            yield health


if __name__ == "__main__":
    run("sample", Settings, start)
