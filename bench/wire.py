"""A cheap keep-alive HTTP/1.1 client connection: one request at a time, parsed by llhttp.

It exists because the load must cost less than what it measures.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Self, cast
from urllib.parse import urlsplit

import httptools

# What `done` gets when the connection ended instead of an answer.
NO_ANSWER = 0
Done = Callable[["Connection", int], None]


@dataclass(frozen=True, slots=True)
class Request:
    """One request that is sent again and again."""

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""

    @property
    def address(self) -> tuple[str, int]:
        """Where to connect."""
        parts = urlsplit(self.url)
        assert parts.hostname is not None
        return parts.hostname, parts.port or 80

    def encode(self) -> bytes:
        """The request as bytes."""
        parts = urlsplit(self.url)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        body = self.body.encode()
        headers = {"Host": parts.netloc, **self.headers}
        if body:
            headers["Content-Length"] = str(len(body))
        lines = [f"{self.method} {target} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode() + body


class Connection(asyncio.Protocol):
    """Sends bytes, and calls `done` with the status once the whole answer is there."""

    def __init__(self, done: Done) -> None:
        self._done = done
        self._transport: asyncio.Transport | None = None
        self._waiting = False
        self._parser = httptools.HttpResponseParser(self)

    @classmethod
    async def open(cls, address: tuple[str, int], done: Done) -> Self:
        """Connects. Raises OSError."""
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(lambda: cls(done), *address)
        return connection

    @property
    def usable(self) -> bool:
        """Whether another request can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def send(self, request: bytes) -> None:
        """Sends one request; the answer to the one before must have come."""
        self._waiting = True
        if self._transport is None:
            self._end(NO_ANSWER)
            return
        self._transport.write(request)

    def close(self) -> None:
        """Ends the connection; `done` is not called for it any more."""
        self._waiting = False
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.connection_lost(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            self._transport.close()
            self._transport = None
        self._end(NO_ANSWER)

    def on_message_complete(self) -> None:
        """The parser saw the end of an answer."""
        status = self._parser.get_status_code()
        if status < 200:
            return
        keep = self._parser.should_keep_alive()
        self._parser = httptools.HttpResponseParser(self)
        if not keep and self._transport is not None:
            self._transport.close()
        self._end(status)

    def _end(self, status: int) -> None:
        if self._waiting:
            self._waiting = False
            self._done(self, status)
