"""The upstream of the gateway when no nginx is installed: one fixed answer, as cheap as Python can.

`python -m bench.responder PORT FILE...` answers `/name` with the file of that name (the key set)
and everything else with 300 bytes of JSON.
"""

import asyncio
import sys
from pathlib import Path
from typing import cast

import httptools
import uvloop

ANSWER = b'{"filler":"' + b"x" * 287 + b'"}'


class Responder(asyncio.Protocol):
    """One connection; a pipelined request is answered in its turn."""

    def __init__(self, pages: dict[bytes, bytes]) -> None:
        self._pages = pages
        self._target = b""
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.close()

    def on_message_begin(self) -> None:
        """A request starts."""
        self._target = b""

    def on_url(self, url: bytes) -> None:
        """A part of the target."""
        self._target += url

    def on_message_complete(self) -> None:
        """The request is there."""
        assert self._transport is not None
        self._transport.write(self._pages.get(self._target, self._pages[b""]))


def page(body: bytes) -> bytes:
    """A whole answer."""
    head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
    return head.encode() + str(len(body)).encode() + b"\r\n\r\n" + body


async def serve(port: int, pages: dict[bytes, bytes]) -> None:
    """Serves until the process ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Responder(pages), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    files = [Path(name) for name in sys.argv[2:]]
    answers = {b"/" + file.name.encode(): page(file.read_bytes()) for file in files}
    uvloop.run(serve(int(sys.argv[1]), {b"": page(ANSWER), **answers}))
