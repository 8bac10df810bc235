"""How a message body is delimited (RFC 9112 section 6), for requests and answers alike.

Every decoder takes what was read from the wire and gives the payload in it. `finished` says that
the body has ended, and `rest` then holds the bytes that came after it. Nothing is guessed: what
does not follow the grammar raises BadFraming.
"""

from __future__ import annotations

import re
from typing import Protocol

from services.gateway.exchange import Headers

MAX_CHUNK_LINE = 256  # bytes of a chunk's size line, extensions included
MAX_TRAILERS = 8192  # bytes

# Sixteen digits hold every size that a peer can mean; more only serve to overflow one.
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?")
_TRAILER = re.compile(rb"[!#$%&'*+\-.^`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*")

LAST_CHUNK = b"0\r\n\r\n"


class BadFraming(Exception):
    """The peer's body does not follow its own framing."""


class LongHead(BadFraming):
    """The peer's head is larger than any that is taken."""


class Decoder(Protocol):
    """What the three ways of delimiting a body have in common."""

    finished: bool
    rest: bytes
    remaining: int  # bytes of payload that are known to come still

    def feed(self, data: bytes) -> bytes:
        """The payload in `data`."""


class Counted:
    """A body of `length` bytes, as Content-Length says."""

    __slots__ = ("finished", "remaining", "rest")

    def __init__(self, length: int) -> None:
        self.remaining = length
        self.finished = length == 0
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        """The payload in `data`."""
        size = len(data)
        if size < self.remaining:
            self.remaining -= size
            return data
        payload = data
        if size > self.remaining:
            payload, self.rest = data[: self.remaining], data[self.remaining :]
        self.remaining = 0
        self.finished = True
        return payload


class UntilClose:
    """An answer that ends with its connection. It finishes when its owner says so."""

    __slots__ = ("finished", "remaining", "rest")

    def __init__(self) -> None:
        self.finished = False
        self.rest = b""
        self.remaining = 0

    def feed(self, data: bytes) -> bytes:
        """All of `data`."""
        return data


class Chunked:
    """A body in chunks (RFC 9112 section 7.1). Extensions and trailers are checked and dropped."""

    __slots__ = ("_held", "_state", "_trailers", "finished", "remaining", "rest")

    _SIZE, _DATA, _DATA_END, _TRAILERS = range(4)

    def __init__(self) -> None:
        self._state = self._SIZE
        self._held = b""  # the beginning of a line or of a line end
        self.remaining = 0  # bytes of the chunk still to come
        self._trailers = 0
        self.finished = False
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        """The payload in `data`.

        Raises BadFraming: a size that is none, a chunk that does not end where it said, a line
        that is too long or has a bare LF or a control byte.
        """
        if self._held:
            data = self._held + data
            self._held = b""
        payload: list[bytes] = []
        position, end = 0, len(data)
        while position < end and not self.finished:
            if self._state == self._DATA:
                taken = data[position : position + self.remaining]
                payload.append(taken)
                position += len(taken)
                self.remaining -= len(taken)
                if not self.remaining:
                    self._state = self._DATA_END
            elif self._state == self._DATA_END:
                if not b"\r\n".startswith(data[position : position + 2]):
                    raise BadFraming("a chunk is longer than its size")
                if end - position < 2:
                    break
                position += 2
                self._state = self._SIZE
            else:
                line_end = self._line_end(data, position)
                if line_end < 0:
                    break
                self._line(data[position:line_end])
                position = line_end + 2
        if self.finished:
            self.rest = data[position:]
        else:
            self._held = data[position:]
        return payload[0] if len(payload) == 1 else b"".join(payload)

    def _line_end(self, data: bytes, position: int) -> int:
        """Where the line that begins at `position` ends, or -1 if that is not known yet."""
        limit = MAX_CHUNK_LINE if self._state == self._SIZE else MAX_TRAILERS
        line_end = data.find(b"\n", position, position + limit + 2)
        if line_end < 0:
            if len(data) - position > limit:
                raise BadFraming("a chunk size line or a trailer is too long")
            return -1
        if line_end == position or data[line_end - 1] != 0x0D:
            raise BadFraming("a line ends in a bare line feed")
        return line_end - 1

    def _line(self, line: bytes) -> None:
        if self._state == self._SIZE:
            match = _CHUNK_LINE.fullmatch(line)
            if match is None:
                raise BadFraming("a chunk size is not a hexadecimal number")
            self.remaining = int(match[1], 16)
            self._state = self._DATA if self.remaining else self._TRAILERS
        elif not line:
            self.finished = True
        else:
            self._trailers += len(line) + 2
            if self._trailers > MAX_TRAILERS:
                raise BadFraming("the trailers are too long")
            if _TRAILER.fullmatch(line) is None:
                raise BadFraming("a trailer is malformed")


def chunk(payload: bytes) -> bytes:
    """`payload`, which must not be empty, as one chunk."""
    return b"%x\r\n%b\r\n" % (len(payload), payload)


def rendered(headers: Headers) -> bytes:
    """`headers` as they stand in a message, each line with its end."""
    return b"".join([b"%b: %b\r\n" % field for field in headers])
