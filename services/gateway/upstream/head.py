"""Reads the head of one answer of a service, as strictly as that of a request.

An answer whose framing is in doubt would poison the connection that it came on, and the client's
beyond it; so it is no answer.

Services say the same lines again and again. Each is checked against the grammar and taken apart
once, and then known: measured, that costs a third of what llhttp with its callbacks does.
"""

from __future__ import annotations

import re
from collections.abc import Set
from dataclasses import dataclass
from functools import lru_cache

from services.gateway.exchange import Headers
from services.gateway.framing import BadFraming, Chunked, Counted, Decoder, LongHead, UntilClose
from services.gateway.remembered import remember

MAX_HEAD = 65536  # bytes
MAX_HEADERS = 200

_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: [\t\x20-\x7e\x80-\xff]*)?")
_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):([\t\x20-\x7e\x80-\xff]*)")

_KNOWN_LINES = 2048  # how many lines are remembered before all are forgotten
_KNOWN_LENGTH = 200  # bytes of the longest line that is worth it
_KNOWN_HEADS = 2048  # and how many whole heads
_KNOWN_HEAD = 2048  # bytes of the longest head that is worth it
# As our services write the lines that change all the time. Nobody relays them, and without them
# many heads are the same.
_REQUEST_ID = b"\r\nX-Request-ID: "
_DATE = b"\r\nDate: "
_DATE_LENGTH = 29  # bytes of its value (RFC 9110 section 5.6.7)

# Hop-by-hop headers (RFC 9110 section 7.6.1) and those that the data plane writes itself.
_WIRE = frozenset(
    {
        b"connection",
        b"content-length",
        b"date",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)


# What is one client's alone is not kept in memory after its exchange.
_PRIVATE = frozenset({b"set-cookie", b"location", b"www-authenticate"})
_CODING_OR_PROTOCOL = (b"transfer-encoding", b"upgrade")
_NO_OPTIONS: Set[bytes] = frozenset()
_KEEP_ALIVE = frozenset({b"keep-alive"})
_OPTIONS = frozenset({b"close", b"keep-alive", b"upgrade"})  # that name no header


@dataclass(slots=True)
class ResponseHead:
    """An answer's head. `headers` are the end-to-end ones, `length` is Content-Length.

    Not to be changed: answers with the same head share it. `relayed` is the policy's, to keep what
    it makes of the headers for the next of them.
    """

    status: int
    headers: Headers
    http_1_1: bool
    keep_alive: bool
    length: int | None = None
    chunked: bool = False
    protocol: bytes | None = None  # what a 101 switched to
    relayed: bytes | None = None

    @property
    def is_event_stream(self) -> bool:
        """Whether it goes on for as long as somebody listens (server-sent events)."""
        return any(
            name == b"content-type" and value.startswith(b"text/event-stream")
            for name, value in self.headers
        )

    def decoder(self, method: str) -> Decoder:
        """How the body of this answer to a `method` request ends (RFC 9112 section 6.3)."""
        if method == "HEAD" or self.status in (204, 304):
            return Counted(0)
        if self.length is not None:
            return Counted(self.length)
        return Chunked() if self.chunked else UntilClose()


class HeadReader:
    """Reads heads one after the other, and remembers them and their lines."""

    def __init__(self) -> None:
        self._status_lines: dict[bytes, tuple[int, bool]] = {}
        self._fields: dict[bytes, tuple[tuple[bytes, bytes], bool]] = {}
        self._heads: dict[bytes, ResponseHead] = {}

    def read(self, head: bytes) -> ResponseHead:
        """The answer whose head, without the line ends at its end, is `head`. Raises BadFraming."""
        head = self._without_date(_without_id(head))
        known = self._heads.get(head)
        if known is not None:
            return known
        result = self._read(head)
        if len(head) <= _KNOWN_HEAD and not any(name in _PRIVATE for name, _ in result.headers):
            remember(self._heads, head, result, _KNOWN_HEADS)
        return result

    def _without_date(self, head: bytes) -> bytes:
        """`head` without the line that says when it was made, if that is well-formed."""
        begin = head.find(_DATE)
        if begin < 0:
            return head
        end = begin + len(_DATE) + _DATE_LENGTH
        line, rest = head[begin + 2 : end], head[end:]
        if rest and not rest.startswith(b"\r\n"):
            return head
        if line not in self._fields:
            self._learn_field(line)
        return head[:begin] + rest

    def _read(self, head: bytes) -> ResponseHead:
        lines = iter(head.split(b"\r\n"))
        first = next(lines)
        status, http_1_1 = self._status_lines.get(first) or self._learn_status_line(first)
        headers: Headers = []
        result = ResponseHead(status, headers, http_1_1, http_1_1)
        options: Set[bytes] = _NO_OPTIONS
        known = self._fields
        for line in lines:
            field, is_wire = known.get(line) or self._learn_field(line)
            if not is_wire:
                headers.append(field)
                continue
            name, value = field
            if name == b"content-length":
                if result.length is not None or not value.isdigit() or len(value) > 18:
                    raise BadFraming("Content-Length is not one decimal number")
                result.length = int(value)
            elif name == b"connection":
                options |= _tokens(value)
            elif name in _CODING_OR_PROTOCOL:
                _coding_or_protocol(result, name, value)
        if len(headers) > MAX_HEADERS:
            raise LongHead("the answer has too many headers")
        if result.chunked and result.length is not None:
            raise BadFraming("both Content-Length and Transfer-Encoding")
        if options and not (http_1_1 and options == _KEEP_ALIVE):
            _connection(result, options)
        return result

    def _learn_status_line(self, line: bytes) -> tuple[int, bool]:
        match = _STATUS_LINE.fullmatch(line)
        if match is None:
            raise BadFraming("the status line is malformed")
        meaning = (int(match[2]), match[1] == b"1")
        if len(self._status_lines) < _KNOWN_LINES and len(line) <= _KNOWN_LENGTH:
            self._status_lines[line] = meaning
        return meaning

    def _learn_field(self, line: bytes) -> tuple[tuple[bytes, bytes], bool]:
        match = _FIELD.fullmatch(line)
        if match is None:
            raise BadFraming("a header line is malformed")
        name = match[1].lower()
        meaning = ((name, match[2].strip(b" \t")), name in _WIRE)
        if len(line) <= _KNOWN_LENGTH and name not in _PRIVATE:
            if len(self._fields) >= _KNOWN_LINES:
                self._fields.clear()
            self._fields[line] = meaning
        return meaning


def _without_id(head: bytes) -> bytes:
    """`head` without the line of the request's id, if that is one as we make them."""
    begin = head.find(_REQUEST_ID)
    if begin < 0:
        return head
    value = begin + len(_REQUEST_ID)
    end = head.find(b"\r\n", value)
    if end < 0:
        end = len(head)
    return head[:begin] + head[end:] if head[value:end].isalnum() else head


@lru_cache(maxsize=64)
def _tokens(value: bytes) -> frozenset[bytes]:
    return frozenset(token.strip(b" \t") for token in value.lower().split(b","))


def _coding_or_protocol(head: ResponseHead, name: bytes, value: bytes) -> None:
    if name == b"upgrade":
        head.protocol = value.lower()
    elif head.chunked or value.lower() != b"chunked" or not head.http_1_1:
        raise BadFraming("the answer has a transfer coding other than chunked")
    else:
        head.chunked = True


def _connection(head: ResponseHead, options: Set[bytes]) -> None:
    """Applies the Connection header: it may name more headers that end here."""
    if b"close" in options:
        head.keep_alive = False
    elif not head.http_1_1:
        head.keep_alive = b"keep-alive" in options
    named = options - _OPTIONS
    if named:
        head.headers = [field for field in head.headers if field[0] not in named]
