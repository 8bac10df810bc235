"""A door to PostgreSQL that tests can shut, hold or tear down."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit, urlunsplit

from tests.ports import free_port


class Proxy:
    """Forwards a TCP port of the loopback to the server behind `url`, until told otherwise."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        options = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self._host = options.get("host") or parts.hostname or "127.0.0.1"
        self._server_port = int(options.get("port") or parts.port or 5432)
        self._port = free_port()
        self._listener: asyncio.Server | None = None
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._open: set[asyncio.StreamWriter] = set()
        self._clients: set[asyncio.StreamWriter] = set()
        user = parts.username or "postgres"
        secret = f":{parts.password}" if parts.password else ""
        # sslmode: the embedded server has none, and asking for it costs a round trip.
        self.url = urlunsplit(
            parts._replace(netloc=f"{user}{secret}@127.0.0.1:{self._port}", query="sslmode=disable")
        )

    async def listen(self) -> None:
        """Lets connections in."""
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", self._port)

    async def shut(self) -> None:
        """Refuses new connections and tears down those that there are."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        self.cut()

    def cut(self) -> None:
        """Tears down the connections that there are; new ones are let in."""
        for writer in list(self._open):
            writer.transport.abort()

    def hold(self) -> None:
        """Goes on taking bytes and passes none on, as a network that has lost its way."""
        self._flowing.clear()

    def say(self, message: bytes) -> None:
        """Tells every client that, as if the server had said it."""
        for writer in self._clients:
            writer.write(message)

    def let_go(self) -> None:
        """Passes on what was held."""
        self._flowing.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._host.startswith("/"):
            path = f"{self._host}/.s.PGSQL.{self._server_port}"
            behind = await asyncio.open_unix_connection(path)
        else:
            behind = await asyncio.open_connection(self._host, self._server_port)
        self._open |= {writer, behind[1]}
        self._clients.add(writer)
        try:
            await asyncio.gather(self._pump(reader, behind[1]), self._pump(behind[0], writer))
        finally:
            self._open -= {writer, behind[1]}
            self._clients.discard(writer)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                await self._flowing.wait()
                writer.write(data)
                await writer.drain()
        writer.close()


@asynccontextmanager
async def proxied(url: str) -> AsyncIterator[Proxy]:
    """An open proxy to the database `url`."""
    proxy = Proxy(url)
    await proxy.listen()
    try:
        yield proxy
    finally:
        proxy.let_go()
        await proxy.shut()
