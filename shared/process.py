"""The life of a process: settings, logs, start, wait for a signal, drain, stop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, NoReturn, TypeVar

import structlog
import uvloop

from shared import logs
from shared.health import Health
from shared.settings import ProcessSettings, SettingsError, load

log = structlog.get_logger(__name__)

# Between the death of a background job and its next beginning.
RESTART_SECONDS = 1.0
# So many more objects than before, of those that can be part of a cycle, are looked through.
_NEW_OBJECTS = 10_000
EXIT_CONFIGURATION = 78  # EX_CONFIG of sysexits.h
P = TypeVar("P", bound=ProcessSettings)
S = TypeVar("S")


class StartRefused(Exception):
    """The process cannot run as configured; the text says what to change."""


# Entering starts everything, leaving stops it; what it yields is drained before leaving.
Start = Callable[[P], AbstractAsyncContextManager[Health]]


def run(name: str, settings_type: type[P], start: Start[P]) -> NoReturn:
    """Runs the process until SIGTERM or SIGINT and exits: 0 stopped, 78 badly configured."""
    settings = load_or_refuse(name, settings_type)
    logs.configure(name, settings.log_level)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(name, settings, start))
    except StartRefused as error:
        refuse(name, str(error))
    sys.exit(0)


def load_or_refuse(name: str, settings_type: type[S]) -> S:
    """The settings from the environment; names every bad one and exits with 78."""
    try:
        return load(settings_type)
    except SettingsError as error:
        refuse(name, str(error))


def refuse(name: str, reasons: str) -> NoReturn:
    """Says on standard error why the process does not start, and exits with 78."""
    lines = "\n".join(f"  {line}" for line in reasons.splitlines())
    sys.stderr.write(f"{name} cannot start:\n{lines}\n")
    sys.exit(EXIT_CONFIGURATION)


async def _serve(name: str, settings: P, start: Start[P]) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop() -> None:
        if stopping.is_set():
            # A second signal is a person who does not want to wait.
            os._exit(1)
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    async with start(settings) as health:
        _look_at_little()
        log.info("started", pid=os.getpid())
        await stopping.wait()
        health.draining = True
        log.info("draining", seconds=settings.drain_seconds)
        if settings.drain_seconds:
            await asyncio.sleep(settings.drain_seconds)
    log.info("stopped", process=name)


def _look_at_little() -> None:
    """Has the garbage collector look at what is made from here on, and not all the time.

    What the start has made stays: to go through it again and again would stop the event loop for
    tens of milliseconds each time. Requests leave few cycles behind; what is in use while many are
    under way is no garbage, and is looked at for nothing at the usual threshold of 700 objects.
    """
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS)


@contextlib.asynccontextmanager
async def background(*jobs: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Runs endless coroutine functions as tasks while the block runs; cancels them after it.

    One that fails is reported and begun again: a process that looks well and has stopped working
    would be found out late.
    """
    tasks = [asyncio.create_task(_kept_going(job)) for job in jobs]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _kept_going(job: Callable[[], Coroutine[Any, Any, None]]) -> None:
    while True:
        try:
            return await job()
        except Exception:
            log.exception("background_job_died", job=repr(job))
        await asyncio.sleep(RESTART_SECONDS)
