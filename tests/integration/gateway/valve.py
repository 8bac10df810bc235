"""A TCP relay that a test can freeze, and make say something else."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from urllib.parse import urlsplit, urlunsplit


class Valve:
    """Passes bytes on both ways while it is open.

    Frozen, it keeps connections and says nothing, as a stopped process does. With `says` set it
    gives that answer to everything.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._open = asyncio.Event()
        self._open.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.says: bytes | None = None

    def freeze(self) -> None:
        self._open.clear()

    def thaw(self) -> None:
        self._open.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client's connection."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        there, back = await asyncio.open_connection(*self._target)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass(reader, back, says_to=writer))
                group.create_task(self._pass(there, writer))
        except* OSError:
            pass
        finally:
            self._tasks.discard(task)
            back.close()
            writer.close()

    async def _pass(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        says_to: asyncio.StreamWriter | None = None,
    ) -> None:
        while data := await source.read(65_536):
            await self._open.wait()
            if self.says is not None and says_to is not None:
                says_to.write(self.says)
                await says_to.drain()
            else:
                sink.write(data)
                await sink.drain()
        raise ConnectionResetError

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def valve(url: str) -> AsyncIterator[tuple[str, Valve]]:
    """A valve before the server of `url`, and the URL through it."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    between = Valve(parts.hostname, parts.port or 6379)
    server = await asyncio.start_server(between.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield urlunsplit(parts._replace(netloc=f"127.0.0.1:{port}")), between
    finally:
        server.close()
        await between.close()
