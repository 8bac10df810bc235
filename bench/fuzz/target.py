"""The whole gateway in this process, and two ways to it: through memory, and through sockets."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import structlog

from bench.fuzz.origin import Origin, origin
from bench.identity import make_identity
from services.gateway.app import running
from services.gateway.downstream.connection import ClientConnection
from services.gateway.downstream.server import Server
from services.gateway.settings import Settings

_CONFIG = """
[limits]
[limits.tiers]
anonymous = ["60/minute"]
default = ["1000/second"]
[[limits.routes]]
match = "POST /echo"
key = "address"
policies = ["10/minute"]
[server]
header_timeout = 0.3
idle_timeout = 0.3
max_body = 65536
[upstreams.auth]
endpoints = ["{url}"]
[upstreams.tasks]
endpoints = ["{url}"]
timeouts = { connect = 20, first_byte = 20, idle = 60, total = 60 }
[[routes]]
prefix = "/echo"
upstream = "tasks"
auth = "none"
[[routes]]
prefix = "/tasks"
upstream = "tasks"
auth = "required"
[[routes]]
prefix = "/auth"
upstream = "auth"
auth = "optional"
[[routes]]
prefix = "/kept"
upstream = "tasks"
auth = "optional"
cache = true
[[routes]]
prefix = "/packed"
upstream = "tasks"
auth = "none"
compress = true
[cors]
allow_origins = ["https://app.example"]
"""


SWITCHED = b"HTTP/1.1 101 "
_NOTHING = os.open(os.devnull, os.O_RDONLY)
_START_SECONDS = 60.0


@dataclass
class Target:
    """A gateway before an origin; `logged` has every error line and every lost exception."""

    server: Server
    origin: Origin
    token: bytes
    logged: list[str] = field(default_factory=list)

    def open(self, address: str) -> Wire:
        """A connection from `address` that has no socket under it."""
        connection = ClientConnection(self.server)
        wire = Wire(connection, address)
        connection.connection_made(wire)
        return wire

    def leftovers(self) -> dict[str, int]:
        """What is counted as under way; empty once nothing is."""
        endpoints = [e for upstream in self.server.upstreams.snapshot() for e in upstream.endpoints]
        counts = {
            "clients": self.server.connections,
            "calls": sum(len(upstream.calls) for upstream in self.server.upstreams.snapshot()),
            "active": sum(endpoint.active for endpoint in endpoints),
            "busy": sum(endpoint.connections - endpoint.idle for endpoint in endpoints),
        }
        return {name: count for name, count in counts.items() if count}


class Wire(asyncio.Transport):
    """A transport in memory: keeps what the gateway writes, says when it closes."""

    def __init__(self, connection: asyncio.Protocol, address: str) -> None:
        super().__init__({"peername": (address, 1), "socket": self})
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self.received = bytearray()  # by the client
        self.closed = asyncio.Event()
        self.ended = asyncio.Event()  # the gateway says no more, though it may still listen
        self.readable = asyncio.Event()
        self.readable.set()
        self._closing = False

    async def send(self, piece: bytes) -> None:
        """Waits for the gateway to read, as a socket does; says nothing on a closed connection."""
        while not self.readable.is_set() and not self._closing:
            waits = [asyncio.ensure_future(e.wait()) for e in (self.readable, self.closed)]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
        # The gateway takes what it gets in a callback of the loop, never inside of a task.
        self._loop.call_soon(self._arrive, piece)
        await asyncio.sleep(0)

    def finish(self) -> None:
        """The client closes its side."""
        if not self._closing and not self._connection.eof_received():
            self.close()

    def break_off(self) -> None:
        """The client is gone."""
        self._leave(ConnectionResetError())

    # What the gateway does.

    def write(self, data: Any) -> None:
        if not self._closing:
            self.received += data
            if SWITCHED in data:
                # What follows is another protocol, which the client may leave at any time.
                self.ended.set()

    def write_eof(self) -> None:
        self.ended.set()

    def close(self) -> None:
        self._leave(None)

    def abort(self) -> None:
        self._leave(None)

    def is_closing(self) -> bool:
        return self._closing

    def pause_reading(self) -> None:
        self.readable.clear()

    def resume_reading(self) -> None:
        self.readable.set()

    def get_write_buffer_size(self) -> int:
        return 0

    def setsockopt(self, *_options: object) -> None:
        """Stands for the socket, of which only the linger time is ever set."""

    def fileno(self) -> int:
        """One that never has anything to tell: a client that is gone says so here by itself."""
        return _NOTHING

    def _arrive(self, piece: bytes) -> None:
        if not self._closing:
            self._connection.data_received(piece)

    def _leave(self, error: Exception | None) -> None:
        if not self._closing:
            self._closing = True
            self._loop.call_soon(self._left, error)

    def _left(self, error: Exception | None) -> None:
        self._connection.connection_lost(error)
        self.ended.set()
        self.closed.set()


@contextlib.asynccontextmanager
async def target() -> AsyncIterator[Target]:
    """A gateway with bounds that are soon reached, before an origin of its own."""
    with tempfile.TemporaryDirectory(prefix="tasklane-fuzz-") as name, _quiet():
        folder = Path(name)
        identity = make_identity(folder)
        config = folder / "gateway.toml"
        async with origin(identity.key_set.read_bytes()) as behind:
            config.write_text(_CONFIG.replace("{url}", behind.url))
            settings = Settings(
                environment="development",
                port=0,
                ops_port=0,
                config=str(config),
                shutdown_seconds=1.0,
            )
            logged: list[str] = []
            with _listening(logged):
                async with running(settings) as (health, server):
                    async with asyncio.timeout(_START_SECONDS):
                        while not await health.ready():  # noqa: ASYNC110 - nobody tells when
                            await asyncio.sleep(0.01)
                    server.limits = replace(
                        server.limits,
                        rate_grace=0.3, half_close_grace=1.0, linger_timeout=0.3, tick=0.05,
                    )  # fmt: skip
                    yield Target(server, behind, identity.token.encode(), logged)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Access lines go nowhere: they are written as in production, and not kept."""
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        yield


@contextlib.contextmanager
def _listening(logged: list[str]) -> Iterator[None]:
    """Keeps every line of level error, and what the event loop had to catch, in `logged`."""

    def keep(_logger: object, level: str, event: structlog.typing.EventDict) -> Any:
        if level in ("error", "critical", "exception"):
            logged.append(repr(event)[:2000])
        raise structlog.DropEvent

    loop = asyncio.get_running_loop()
    before, handler = structlog.get_config(), loop.get_exception_handler()
    structlog.configure(
        processors=[structlog.processors.format_exc_info, keep], cache_logger_on_first_use=False
    )
    loop.set_exception_handler(
        lambda _loop, context: logged.append(f"{context['message']}: {context.get('exception')!r}")
    )
    try:
        yield
    finally:
        loop.set_exception_handler(handler)
        structlog.configure(**before)
