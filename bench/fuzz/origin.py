"""The service behind the gateway: it answers well, and takes nothing that a gateway must not send.

Its parser shares no line with the gateway's. What it finds is what two parsers disagree about.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from typing import cast

_LINE = re.compile(rb"([A-Z][A-Z-]*) (/[\x21-\x7e]*) HTTP/1\.1")
_FIELD = re.compile(rb"([!#$%&'*+\-.^`|~0-9a-z]+): ([\x21-\x7e\x80-\xff][\t\x20-\x7e\x80-\xff]*)?")
_MEANT = re.compile(rb"/v[12]/(?:echo|kept|packed|tasks|auth)(?:/|\Z)|/\.well-known/jwks\.json\Z")
_AMBIGUOUS = re.compile(rb"//|/\.{1,2}(?:/|\Z)|%2[fFeE]|%5[cC]|%00|\\")
_KEY_SET = b"/.well-known/jwks.json"
_ONCE = (b"host", b"content-length", b"transfer-encoding", b"x-request-id", b"x-forwarded-for")
# What ends at the gateway, or could be taken for its word.
_NEVER = (
    b"expect", b"te", b"trailer", b"keep-alive", b"proxy-connection", b"http2-settings",
    b"x-user-id", b"x-api-key", b"forwarded", b"x-http-method-override",
)  # fmt: skip

_OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n"
_ANSWERS = {
    b"chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    b"missing": (
        b"HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\nContent-Length: 14\r\n\r\n"
        b"<h1>secret</h1"
    ),
    b"empty": b"HTTP/1.1 204 No Content\r\n\r\n",
    b"close": b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc",
}
_KEPT = (
    b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nETag: "k"\r\n'
    b"Cache-Control: public, max-age=1\r\nContent-Length: 11\r\n\r\n" + b'{"ok":true}'
)
_STILL_GOOD = b'HTTP/1.1 304 Not Modified\r\nETag: "k"\r\nCache-Control: public, max-age=1\r\n\r\n'
_PACKED = (
    b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nETag: "p"\r\n'
    b"Transfer-Encoding: chunked\r\n\r\n"
    + b"400\r\n%b\r\n" % (b"[1,2,3,4," * 114)[:1024] * 2
    + b"0\r\n\r\n"
)
_SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"


class Refused(Exception):
    """The gateway has sent what it must not send."""


class Origin:
    """Counts what reaches it; `faults` says what should not have."""

    def __init__(self, key_set: bytes) -> None:
        self.key_set = key_set
        self.requests = 0
        self.faults: list[str] = []
        self.authority = b""

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{self.authority.decode()}"


@contextlib.asynccontextmanager
async def origin(key_set: bytes) -> AsyncIterator[Origin]:
    """A service on a free port of this machine."""
    found = Origin(key_set)
    server = await asyncio.get_running_loop().create_server(
        lambda: OriginConnection(found), "127.0.0.1", 0
    )
    found.authority = b"127.0.0.1:%d" % server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        server.close()


class OriginConnection(asyncio.Protocol):
    """One connection: request after request, each whole before it is answered."""

    def __init__(self, owner: Origin) -> None:
        self._owner = owner
        self._buffer = b""
        self._tunnel = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        if self._tunnel:
            self._transport.write(data)
            return
        self._buffer += data
        try:
            while self._take():
                pass
        except Refused as refused:
            self._owner.faults.append(f"{refused}: {self._buffer[:300]!r}")
            self._transport.abort()

    def _take(self) -> bool:
        """Answers the next request, if it is there."""
        assert self._transport is not None
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0 or self._tunnel:
            return False
        method, target, fields = self._head(self._buffer[:end])
        path = target.partition(b"?")[0]
        position = self._after_body(fields, end + 4)
        if position is None:
            return False
        self._buffer = self._buffer[position:]
        self._owner.requests += 1
        if path == _KEY_SET:
            keys = self._owner.key_set
            answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(keys) + keys
        elif b"upgrade" in fields:
            self._tunnel = True
            answer = _SWITCH
        elif path[3:].startswith(b"/kept"):
            answer = _STILL_GOOD if b'"k"' in fields.get(b"if-none-match", b"") else _KEPT
        elif path[3:].startswith(b"/packed"):
            answer = _PACKED
        else:
            answer = _ANSWERS.get(path.rpartition(b"/")[2], _OK + b'{"ok":true}')
        # So that a client can tell whether the request was his.
        seen = b"\r\nX-Seen: %b %b\r\n" % (fields.get(b"x-forwarded-for", b"-"), target)
        answer = answer.replace(b"\r\n", seen, 1)
        if method == b"HEAD":
            answer = answer[: answer.index(b"\r\n\r\n") + 4]
        self._transport.write(answer)
        if b"Connection: close" in answer:
            self._transport.close()
        return True

    def _head(self, head: bytes) -> tuple[bytes, bytes, dict[bytes, bytes]]:
        first, *lines = head.split(b"\r\n")
        match = _LINE.fullmatch(first)
        if match is None:
            raise Refused("a request line of another form")
        path = match[2].partition(b"?")[0]
        if _MEANT.match(path) is None or _AMBIGUOUS.search(path):
            raise Refused("a path that leads elsewhere")
        fields: dict[bytes, bytes] = {}
        if path == _KEY_SET:
            # That is no request of a client's.
            return match[1], match[2], fields
        for line in lines:
            field = _FIELD.fullmatch(line)
            if field is None:
                raise Refused(f"a malformed field {line!r}")
            if field[1] in fields and field[1] in _ONCE:
                raise Refused(f"{field[1]!r} twice")
            if field[1] in _NEVER:
                raise Refused(f"{field[1]!r} passed on")
            fields[field[1]] = field[2] or b""
        if fields.get(b"host") != self._owner.authority:
            raise Refused("another host")
        if b"content-length" in fields and b"transfer-encoding" in fields:
            raise Refused("two ways to find the end of the body")
        if b"connection" in fields and fields.get(b"upgrade") != b"websocket":
            raise Refused("the client's Connection field")
        return match[1], match[2], fields

    def _after_body(self, fields: dict[bytes, bytes], position: int) -> int | None:
        """Where the request ends; None while its body is not all there."""
        length = fields.get(b"content-length")
        if length is not None:
            if not length.isdigit():
                raise Refused("a length that is no number")
            end = position + int(length)
            return end if len(self._buffer) >= end else None
        coding = fields.get(b"transfer-encoding")
        if coding is None:
            return position
        if coding != b"chunked":
            raise Refused("an unknown coding")
        while True:
            line = self._buffer.find(b"\r\n", position)
            if line < 0:
                return None
            try:
                size = int(self._buffer[position:line], 16)
            except ValueError:
                raise Refused("a chunk size that is no number") from None
            position = line + 2 + size + 2
            if len(self._buffer) < position:
                return None
            if self._buffer[position - 2 : position] != b"\r\n":
                raise Refused("a chunk that does not end where it says")
            if not size:
                return position
