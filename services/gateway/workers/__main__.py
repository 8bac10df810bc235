"""One worker, as the supervisor starts it: a number and three descriptors are its arguments."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import structlog

from services.gateway.app import Listeners, running
from services.gateway.settings import Settings
from services.gateway.workers.worker import SERVES
from shared.health import Health
from shared.process import run


def main() -> None:
    number, public, ops, tie = (int(argument) for argument in sys.argv[1:])
    door = socket.socket(fileno=public)
    # Another worker may have taken the client that this one was woken for.
    door.setblocking(False)
    listeners = Listeners(door, socket.socket(fileno=ops))
    run("gateway", Settings, partial(_serve, number, listeners, socket.socket(fileno=tie)))


@asynccontextmanager
async def _serve(
    number: int, listeners: Listeners, tie: socket.socket, settings: Settings
) -> AsyncIterator[Health]:
    """Serves, tells the supervisor so, and ends when there is no supervisor any more."""
    structlog.contextvars.bind_contextvars(worker=number)
    loop = asyncio.get_running_loop()
    async with running(settings, listeners) as (health, _server):

        def orphaned() -> None:
            loop.remove_reader(tie)
            # A second signal would end it at once, and requests are under way.
            if not health.draining:
                os.kill(os.getpid(), signal.SIGTERM)

        # The supervisor sends nothing: what there is to read is the end.
        loop.add_reader(tie, orphaned)
        with contextlib.suppress(OSError):
            tie.send(SERVES)
        try:
            yield health
        finally:
            loop.remove_reader(tie)


if __name__ == "__main__":
    main()
