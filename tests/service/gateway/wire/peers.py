"""Both ends of the data plane, raw: clients and services that say exactly what a test wants."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from services.gateway.downstream.limits import ServerLimits
from services.gateway.downstream.server import Server
from services.gateway.exchange import (
    Answer,
    Decide,
    Decision,
    Exchange,
    Forward,
    Headers,
    Inspect,
    Relay,
    Timeouts,
)
from services.gateway.upstream.head import ResponseHead
from services.gateway.upstream.health import HealthSettings
from services.gateway.upstream.pool import UpstreamSettings
from services.gateway.upstream.upstreams import Upstreams
from shared.errors import ApiError, render

# Short where nothing honest takes long; what a busy machine could exceed is left generous, and a
# test that waits for it sets its own.
LIMITS = ServerLimits(
    header_timeout=0.3,
    idle_timeout=5,
    rate_grace=0.3,
    half_close_grace=0.3,
    linger_timeout=0.3,
    tick=0.02,
)
TIMEOUTS = Timeouts(connect=3, first_byte=3, idle=3, total=5)
SHORT = Timeouts(connect=0.15, first_byte=0.15, idle=0.15, total=1)
OK = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok"

Talk = Callable[["Conversation"], Awaitable[None]]


@dataclass
class Conversation:
    """One connection of a service."""

    service: Service
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    number: int

    async def request(self) -> bytes:
        """The next request's head, raw; IncompleteReadError when there is none."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        self.service.requests.append(head)
        return head

    async def send(self, *parts: bytes) -> None:
        for part in parts:
            self.writer.write(part)
            await self.writer.drain()

    async def answer(self, answer: bytes = OK) -> bytes:
        """Takes a request without a body, and answers it."""
        head = await self.request()
        await self.send(answer)
        return head

    def reset(self) -> None:
        """Ends the connection as a crashing process does."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.writer.transport.abort()


async def always_ok(talk: Conversation) -> None:
    """Answers one request after the other, bodies and all."""
    while True:
        head = await talk.request()
        length = header(head, b"content-length")
        if length is not None:
            talk.service.bodies.append(await talk.reader.readexactly(int(length)))
        elif header(head, b"transfer-encoding") is not None:
            talk.service.bodies.append(await read_chunked(talk.reader))
        await talk.send(OK)


@dataclass
class Service:
    """A service; `talk` is what it does on each of its connections."""

    talk: Talk = always_ok
    port: int = 0
    connections: int = 0
    open: int = 0
    requests: list[bytes] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    received: bytearray = field(default_factory=bytearray)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def left(self) -> None:
        """Waits until nobody is connected to it any more."""
        await until(lambda: not self.open)

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        self.connections += 1
        self.open += 1
        try:
            await self.talk(Conversation(self, reader, writer, self.connections))
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            self.open -= 1
            self.tasks.discard(task)
            writer.close()


@contextlib.asynccontextmanager
async def serve(talk: Talk = always_ok) -> AsyncIterator[Service]:
    service = Service(talk)
    server = await asyncio.start_server(service.accept, "127.0.0.1", 0, limit=1 << 20)
    service.port = server.sockets[0].getsockname()[1]
    try:
        yield service
    finally:
        server.close()
        for task in list(service.tasks):
            task.cancel()
        await asyncio.gather(*service.tasks, return_exceptions=True)


class TestPolicy:
    """Forwards everything, or does what `decide` says; keeps what it was told."""

    __test__ = False

    def __init__(self) -> None:
        self.forward = Forward("service", b"", [], TIMEOUTS, max_body=1 << 20)
        self.decide: Callable[[Exchange], Awaitable[Decision | None]] | None = None
        self.again: Callable[[Exchange, Decide], bool] | None = None
        self.judge: Callable[[int, Headers], Relay | Inspect] = Relay
        self.admitted: list[Exchange] = []
        self.finished: list[tuple[Exchange, int, int, int]] = []
        self.refused: list[ApiError] = []
        self.inspected: list[tuple[int, bytes, bool]] = []

    def set(self, **changes: Any) -> None:
        """Changes the orders that it gives."""
        self.forward = replace(self.forward, **changes)

    def readmit(self, exchange: Exchange, decide: Decide) -> bool:
        return self.again is not None and self.again(exchange, decide)

    async def admit(self, exchange: Exchange) -> Decision:
        self.admitted.append(exchange)
        if self.decide is not None:
            decision = await self.decide(exchange)
            if decision is not None:
                return decision
        target = exchange.path + (f"?{exchange.query}" if exchange.query else "")
        wire = (b"host", b"content-length", b"transfer-encoding", b"connection", b"expect")
        headers = [h for h in exchange.headers if h[0] not in (*wire, b"upgrade")]
        return replace(self.forward, target=target.encode(), headers=headers)

    def refuse(self, exchange: Exchange, error: ApiError) -> Answer:
        self.refused.append(error)
        page = render(error, request_id="r-1", accept=exchange.accept)
        headers = [(k.lower().encode(), v.encode()) for k, v in page.headers.items()]
        return Answer(page.status, headers, page.body)

    def receive(self, exchange: Exchange, head: ResponseHead) -> Relay | Inspect:
        return self.judge(head.status, head.headers)

    def rewrite(
        self, exchange: Exchange, status: int, headers: Headers, body: bytes, complete: bool
    ) -> Answer:
        self.inspected.append((status, body, complete))
        return Answer(status, [(b"content-type", b"text/plain")], b"rewritten")

    def finish(self, exchange: Exchange, status: int, bytes_in: int, bytes_out: int) -> None:
        self.finished.append((exchange, status, bytes_in, bytes_out))

    @property
    def outcomes(self) -> list[str]:
        return [exchange.outcome for exchange, *_ in self.finished]


@dataclass
class Door:
    """The data plane with everything that a test looks at."""

    server: Server
    upstreams: Upstreams
    policy: TestPolicy

    async def connect(self) -> Client:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port, limit=1 << 20)
        return Client(reader, writer)

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        client = await self.connect()
        try:
            yield client
        finally:
            client.writer.close()

    async def ask(self, request: bytes, method: str = "GET") -> Reply:
        """One request on a connection of its own."""
        async with self.client() as client:
            await client.send(request)
            return await client.reply(method)

    async def settled(self) -> None:
        """Waits until nothing is under way any more, and every count says so."""
        await until(lambda: not self.leftovers())
        assert len(self.policy.finished) >= len(self.policy.admitted)

    def leftovers(self) -> dict[str, int]:
        """What is counted as under way."""
        upstreams = self.upstreams.snapshot()
        endpoints = [endpoint for upstream in upstreams for endpoint in upstream.endpoints]
        counts = {
            "clients": self.server.connections,
            "calls": sum(len(upstream.calls) for upstream in upstreams),
            "retries": sum(upstream.budget.retrying for upstream in upstreams),
            "active": sum(endpoint.active for endpoint in endpoints),
            "busy": sum(endpoint.connections - endpoint.idle for endpoint in endpoints),
        }
        return {name: count for name, count in counts.items() if count}


@contextlib.asynccontextmanager
async def open_door(
    *services: Service,
    limits: ServerLimits = LIMITS,
    listener: socket.socket | None = None,
    **settings: Any,
) -> AsyncIterator[Door]:
    """The data plane before `services`, which are the endpoints of one upstream."""
    settings.setdefault("health", HealthSettings(eject_after=0))
    settings.setdefault("breaker_threshold", 0)
    endpoints = tuple(service.url for service in services)
    upstreams = Upstreams({"service": UpstreamSettings(endpoints, **settings)}, tick=0.02)
    policy = TestPolicy()
    server = Server(policy, upstreams, limits)
    await server.start(listener=listener)
    try:
        yield Door(server, upstreams, policy)
    finally:
        await server.stop(0.2)
        upstreams.close()


@dataclass
class Reply:
    """An answer as it came, taken apart by rules of the test's own."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes

    def header(self, name: bytes) -> bytes | None:
        return next((value for key, value in self.headers if key == name), None)

    @property
    def code(self) -> str:
        """The error code, by the contract's shape."""
        error = orjson.loads(self.body)["error"]
        assert set(error) == {"code", "message", "details", "request_id"}
        return str(error["code"])

    @property
    def closes(self) -> bool:
        return self.header(b"connection") == b"close"


@dataclass
class Client:
    """A client that is not held by any rule."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def reply(self, method: str = "GET") -> Reply:
        """The next answer, whole."""
        async with asyncio.timeout(5):
            reply = await self.head()
            if method == "HEAD" or reply.status in (204, 304) or reply.status < 200:
                return reply
            length = reply.header(b"content-length")
            if length is not None:
                reply.body = await self.reader.readexactly(int(length))
            elif reply.header(b"transfer-encoding") == b"chunked":
                reply.body = await read_chunked(self.reader)
            else:
                reply.body = await self.reader.read(-1)
            return reply

    async def head(self) -> Reply:
        async with asyncio.timeout(5):
            raw = await self.reader.readuntil(b"\r\n\r\n")
        first, *lines = raw[:-4].split(b"\r\n")
        assert first.startswith(b"HTTP/1.1 ")
        headers = [tuple(line.split(b": ", 1)) for line in lines]
        return Reply(int(first[9:12]), headers, b"")  # type: ignore[arg-type]

    async def rest(self) -> bytes:
        """Everything until the connection ends; b"" with `ended` for a reset."""
        async with asyncio.timeout(5):
            return await self.reader.read(-1)

    async def is_closed(self) -> bool:
        try:
            return await self.rest() == b""
        except ConnectionError:
            return True

    def reset(self) -> None:
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.writer.transport.abort()


async def until(condition: Callable[[], object], seconds: float = 5) -> None:
    """Waits until `condition` holds; TimeoutError when it does not come to it."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0.01)


def header(head: bytes, name: bytes) -> bytes | None:
    """The value of header `name` in a raw head."""
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.lower() == name:
            return value.strip()
    return None


async def read_chunked(reader: asyncio.StreamReader) -> bytes:
    """A body in chunks; IncompleteReadError when it is cut short."""
    body = b""
    while True:
        size = int(await reader.readuntil(b"\r\n"), 16)
        data = await reader.readexactly(size + 2)
        assert data[-2:] == b"\r\n"
        if not size:
            return body
        body += data[:-2]
