"""Two of each service behind one gateway, and a load that counts every request that fails."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from tests.e2e.conftest import ROOT
from tests.ports import free_port

_START_SECONDS = 90
CREDENTIAL = "k" * 40
# Checks are quick, so that drains may be short.
CONFIG = """
[limits.tiers]
anonymous = ["1000000/minute"]
default = ["1000000/minute"]
[upstreams.auth]
endpoints = ["http://127.0.0.1:1"]
check = { path = "/health/accepting", interval = 0.1, timeout = 2, fail_after = 2 }
[upstreams.tasks]
endpoints = ["http://127.0.0.1:1"]
check = { path = "/health/accepting", interval = 0.1, timeout = 2, fail_after = 2 }
"""
# Takes the listening socket over as a child of systemd does, then becomes the gateway.
_WITH_SOCKET = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ["LISTEN_PID"], os.environ["LISTEN_FDS"] = str(os.getpid()), "1"
os.execv(sys.executable, [sys.executable, "-m", "services.gateway"])
"""


class Member:
    """One process that may be restarted or killed."""

    def __init__(self, command: list[str], environment: dict[str, str], port: int) -> None:
        self._command = command
        self._ops_port = free_port()
        names = ("GATEWAY", "AUTH", "TASKS")
        ops = {f"{name}_OPS_PORT": str(self._ops_port) for name in names}
        self._environment = environment | ops
        self.url = f"http://127.0.0.1:{port}"
        self.hands_over: tuple[int, ...] = ()
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Returns once it is ready."""
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            cwd=ROOT,
            env=self._environment,
            stdout=asyncio.subprocess.DEVNULL,
            pass_fds=self.hands_over,
        )
        async with asyncio.timeout(_START_SECONDS), aiohttp.ClientSession() as session:
            while True:
                assert self._process.returncode is None, self._command
                with contextlib.suppress(aiohttp.ClientConnectionError):
                    ready = f"http://127.0.0.1:{self._ops_port}/health/ready"
                    async with session.get(ready) as answer:
                        if answer.status == 200:
                            return
                await asyncio.sleep(0.05)

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Sends the signal and returns the exit code."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(number)
        async with asyncio.timeout(_START_SECONDS):
            return await self._process.wait()

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)


@dataclass
class Fleet:
    """What runs; `config` is the gateway's file."""

    gateway: Member
    auth: list[Member]
    tasks: list[Member]
    config: Path

    @property
    def everyone(self) -> list[Member]:
        return [*self.auth, *self.tasks, self.gateway]


@contextlib.asynccontextmanager
async def fleet(folder: Path, auth_database: str, tasks_database: str) -> AsyncIterator[Fleet]:
    """All of it, ready. The listening socket is ours: it outlives every gateway."""
    config = folder / "gateway.toml"
    config.write_text(CONFIG)
    inherited = {name: value for name, value in os.environ.items() if not name.endswith("_URL")}
    base = inherited | {
        "ENVIRONMENT": "development",
        "SERVICE_CREDENTIAL": CREDENTIAL,
        "DRAIN_SECONDS": "1",
        "LOG_LEVEL": "WARNING",
        "AUTH_DATABASE_URL": auth_database,
        "TASKS_DATABASE_URL": tasks_database,
        "GATEWAY_CONFIG": str(config),
    }
    ports = {name: [free_port(), free_port()] for name in ("auth", "tasks")}
    urls = {name: [f"http://127.0.0.1:{port}" for port in ports[name]] for name in ports}
    base |= {f"{name.upper()}_UPSTREAM": ",".join(urls[name]) for name in urls}
    base["AUTH_JWKS_URL"] = urls["auth"][0] + "/.well-known/jwks.json"
    members = {
        name: [
            Member(
                [sys.executable, "-m", f"services.{name}"],
                base | {f"{name.upper()}_PORT": str(port)},
                port,
            )
            for port in ports[name]
        ]
        for name in ports
    }
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        held = listener.fileno()
        port = listener.getsockname()[1]
        gateway = Member([sys.executable, "-c", _WITH_SOCKET, str(held)], base, port)
        gateway.hands_over = (held,)
        running = Fleet(gateway, members["auth"], members["tasks"], config)
        try:
            async with asyncio.TaskGroup() as group:
                for member in running.everyone:
                    group.create_task(member.start())
            yield running
        finally:
            await asyncio.gather(*(member.end(signal.SIGKILL) for member in running.everyone))


@dataclass(frozen=True, slots=True)
class Call:
    """One kind of request of the load. Whether a lost one may be sent again is in `repeatable`."""

    name: str
    method: str
    path: str
    body: dict[str, Any] | None = None
    keyed: bool = False

    @property
    def repeatable(self) -> bool:
        return self.keyed or self.method != "POST"


CALLS = (
    Call("list", "GET", "/api/v2/tasks?page_size=5"),
    Call("create", "POST", "/api/v2/tasks", {"title": "t"}),
    Call("create, keyed", "POST", "/api/v2/tasks", {"title": "t"}, keyed=True),
    Call("profile", "GET", "/api/v2/auth/profile"),
    Call("rename", "PATCH", "/api/v2/auth/profile", {"name": "Ada"}),
    Call("errors", "GET", "/api/errors"),
)


@dataclass
class Load:
    """Clients that go on asking; `failures` has every request without a good answer."""

    address: tuple[str, int]
    token: str
    answered: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[Call, object]] = field(default_factory=list)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _running: bool = True

    def start(self, clients: int) -> None:
        self._tasks = [asyncio.create_task(self._client(number)) for number in range(clients)]

    async def stop(self) -> None:
        """Every client finishes what it has begun."""
        self._running = False
        await asyncio.gather(*self._tasks)

    async def goes_on(self, rounds: int = 10) -> None:
        """Waits until every kind of request was answered `rounds` times more."""
        goal = {call.name: self.answered[call.name] + rounds for call in CALLS}
        async with asyncio.timeout(60):
            while any(  # noqa: ASYNC110 - counts of tasks that have no event of their own
                self.answered[name] < count for name, count in goal.items()
            ):
                await asyncio.sleep(0.02)

    async def _client(self, number: int) -> None:
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        turn = number
        while self._running:
            call, turn = CALLS[turn % len(CALLS)], turn + 1
            try:
                if streams is None:
                    streams = await asyncio.open_connection(*self.address)
                status, keeps = await self._ask(call, *streams, f"{number}-{turn}")
            except (OSError, EOFError, TimeoutError) as error:
                self.failures.append((call, repr(error)))
                status, keeps = 0, False
            if status in (200, 201):
                self.answered[call.name] += 1
            elif status:
                self.failures.append((call, status))
            if not keeps and streams is not None:
                streams[1].close()
                streams = None
            await asyncio.sleep(0.005)
        if streams is not None:
            streams[1].close()

    async def _ask(
        self, call: Call, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: str
    ) -> tuple[int, bool]:
        """Status of the answer, and whether the connection stays."""
        body = b"" if call.body is None else json.dumps(call.body).encode()
        lines = [
            f"{call.method} {call.path} HTTP/1.1",
            "Host: gateway.example",
            f"Authorization: Bearer {self.token}",
            f"Content-Length: {len(body)}",
            "Content-Type: application/json",
            *([f"Idempotency-Key: {key}"] if call.keyed else []),
        ]
        async with asyncio.timeout(60):
            writer.write("\r\n".join([*lines, "", ""]).encode() + body)
            await writer.drain()
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
            if length:
                await reader.readexactly(int(length))
            elif b"transfer-encoding: chunked" in head:
                await reader.readuntil(b"0\r\n\r\n")
        return int(head[9:12]), b"connection: close" not in head


@contextlib.asynccontextmanager
async def load(running: Fleet, token: str, clients: int = 12) -> AsyncIterator[Load]:
    """A load on the gateway while the block runs."""
    host, _, port = running.gateway.url.removeprefix("http://").partition(":")
    found = Load((host, int(port)), token)
    found.start(clients)
    try:
        await found.goes_on(3)
        yield found
    finally:
        await found.stop()
