"""`python -m bench.soak` looks whether the gateway's memory stays what it is.

It sends requests, then breaks off requests in every way a client can, and samples the resident
memory of the gateway meanwhile; then it leaves connections open that say nothing. It fails when
memory still grows in the second half of a stretch, or when idle connections cost too much.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import resource
import struct
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from socket import SO_LINGER, SOL_SOCKET

import uvloop

from bench.doors import Door, running_gateway
from bench.identity import make_identity
from bench.machine import Cores
from bench.processes import NotMeasured, resident_bytes
from bench.upstream import running_upstream
from bench.wire import NO_ANSWER, Connection, Request

SAMPLES = 20
GROWTH_BYTES = 3 << 20  # in the second half of a stretch; caches have filled up in the first
IDLE_BYTES = 200 << 20
_AT_ONCE = 32
_SETTLE_SECONDS = 2.0
# Reset instead of an orderly end.
_RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Stretch:
    """What one kind of load did to the memory, in bytes, at even steps of its `count`."""

    name: str
    count: int
    errors: int
    memory: list[int]

    @property
    def growth(self) -> int:
        """Bytes from the middle to the end."""
        return self.memory[-1] - self.memory[len(self.memory) // 2]

    def __str__(self) -> str:
        shown = " ".join(f"{size / (1 << 20):.1f}" for size in self.memory)
        slope = self.growth / (self.count / 2) if self.count else 0.0
        return (
            f"{self.name}: {self.count}, errors {self.errors}\n"
            f"  MiB: {shown}\n"
            f"  second half: {self.growth / 1024:+.0f} KiB, {slope:+.2f} bytes each"
        )


class Soak:
    """One gateway under load from this process."""

    def __init__(self, door: Door, request: Request) -> None:
        self._door = door
        self._address = request.address
        self._request = request.encode()
        self._chance = Random(1)
        self._errors = 0

    async def requests(self, count: int) -> Stretch:
        """Whole requests over connections that are kept."""
        return await self._stretch("requests", count, self._asks)

    async def aborts(self, count: int) -> Stretch:
        """Connections that end in the middle of something."""
        return await self._stretch("client aborts", count, self._breaks_off)

    async def idle(self, count: int) -> int:
        """Bytes of the gateway while `count` clients are connected and say nothing."""
        kept: list[asyncio.Transport] = []
        for number in range(count):
            # No address may have more than some thousands.
            source = (f"127.0.0.{1 + number // 2_000}", 0)
            kept.append(await self._connect(source))
            kept[-1].write(self._request)
        await asyncio.sleep(_SETTLE_SECONDS)
        alive = sum(not transport.is_closing() for transport in kept)
        if alive < count:
            raise NotMeasured(f"{alive} of {count} idle connections are open")
        used = resident_bytes(self._door.process_id)
        for transport in kept:
            transport.close()
        return used

    async def _stretch(
        self, name: str, count: int, work: Callable[[int], Awaitable[None]]
    ) -> Stretch:
        self._errors = 0
        memory = []
        step = max(1, count // SAMPLES)
        for _ in range(SAMPLES):
            await work(step)
            memory.append(resident_bytes(self._door.process_id))
        return Stretch(name, step * SAMPLES, self._errors, memory)

    async def _asks(self, count: int) -> None:
        left, open_now = count, _AT_ONCE
        over = asyncio.Event()

        def done(connection: Connection, status: int) -> None:
            nonlocal left, open_now
            self._errors += status != 200
            if left > 0 and connection.usable and status != NO_ANSWER:
                left -= 1
                connection.send(self._request)
                return
            connection.close()
            open_now -= 1
            if not open_now:
                over.set()

        left -= _AT_ONCE
        for _ in range(_AT_ONCE):
            (await Connection.open(self._address, done)).send(self._request)
        await over.wait()

    async def _breaks_off(self, count: int) -> None:
        async def some(number: int) -> None:
            for _ in range(number):
                await self._break_off()

        await asyncio.gather(*(some(count // _AT_ONCE) for _ in range(_AT_ONCE)))
        await asyncio.gather(*(self._break_off() for _ in range(count % _AT_ONCE)))

    async def _break_off(self) -> None:
        """In the head, in the body, before the answer, in the middle of it, or after it."""
        transport = await self._connect(None)
        way = self._chance.randrange(5)
        if way == 0:
            transport.write(self._request[: self._chance.randrange(len(self._request))])
        elif way == 1:
            transport.write(b"POST" + self._request[3:-2] + b"Content-Length: 500\r\n\r\nhalf")
        else:
            transport.write(self._request * self._chance.choice((1, 1, 4)))
        if way != 2:
            await asyncio.sleep(self._chance.choice((0, 0.001, 0.005)))
        socket = transport.get_extra_info("socket")
        if self._chance.random() < 0.5 and socket is not None:
            with contextlib.suppress(OSError):
                socket.setsockopt(SOL_SOCKET, SO_LINGER, _RESET)
        transport.abort()

    async def _connect(self, source: tuple[str, int] | None) -> asyncio.Transport:
        transport, _ = await asyncio.get_running_loop().create_connection(
            asyncio.Protocol, *self._address, local_addr=source
        )
        return transport


def main(arguments: list[str] | None = None) -> int:
    """Prints what memory does; returns 1 when it grows, or idle connections take too much."""
    parser = argparse.ArgumentParser(prog="bench.soak", description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--aborts", type=int, default=100_000)
    parser.add_argument("--idle", type=int, default=10_000, help="connections left open")
    options = parser.parse_args(arguments)
    if not sys.platform.startswith("linux"):
        print("the benchmark reads /proc and needs Linux", file=sys.stderr)
        return 1
    # The gateway inherits it.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    cores = Cores.split()
    with tempfile.TemporaryDirectory(prefix="tasklane-soak-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        identity = make_identity(folder)
        with (
            running_upstream(identity, folder / "upstream", cores.load) as upstream,
            running_gateway(
                "Tasklane", upstream, folder / "gateway", cores.measured, headers=identity.headers
            ) as door,
        ):
            request = Request(door.url, headers=identity.headers)
            return uvloop.run(_soak(Soak(door, request), door, options))


async def _soak(soak: Soak, door: Door, options: argparse.Namespace) -> int:
    print(f"at rest: {resident_bytes(door.process_id) / (1 << 20):.1f} MiB", flush=True)
    failed = False
    for stretch in (await soak.requests(options.requests), await soak.aborts(options.aborts)):
        print(stretch, flush=True)
        failed |= stretch.growth > GROWTH_BYTES
        failed |= stretch.errors > 0
    if options.idle:
        used = await soak.idle(options.idle)
        print(f"{options.idle} idle connections: {used / (1 << 20):.1f} MiB in all")
        failed |= used > IDLE_BYTES
    print("memory grows" if failed else "memory is flat")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
