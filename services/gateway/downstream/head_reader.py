"""Reads the head of one request, strictly.

The raw bytes must follow the grammar before llhttp takes them apart: llhttp does not tell line
ends, versions and folded lines. What two parsers agree on leaves nothing to interpretation.
"""

from __future__ import annotations

import re

import httptools

from services.gateway.downstream import semantics
from services.gateway.downstream.grammar import FIELDS, LINE, diagnose
from services.gateway.downstream.head import (
    NO_FIELDS,
    BadHead,
    Fields,
    RequestHead,
    made_out,
)
from services.gateway.downstream.limits import ServerLimits
from services.gateway.downstream.target import is_authority, split_target
from services.gateway.exchange import Family, Headers, Repeat
from services.gateway.remembered import remember
from shared.errors import ApiError, BadRequest, HeadersTooLarge, MethodNotAllowed, UriTooLong

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_COMMON_METHODS = frozenset(method.encode() for method in METHODS)
_REFUSED_METHODS = frozenset({b"TRACE", b"CONNECT"})
# Of all connections together so many heads are known, if their request lines are not longer than so
# many bytes.
_KNOWN_HEADS = 4_096
_KNOWN_LINE = 256
# And so many blocks of header lines, of at most so many bytes.
_KNOWN_BLOCKS = 1_024
_KNOWN_BLOCK = 2_048
_METHOD = re.compile(rb"[A-Z][A-Z\-]*")
# How clients spell it; other spellings are read as well, and not remembered.
_LENGTHS = (b"\r\nContent-Length: ", b"\r\ncontent-length: ")
_MOST_DIGITS = 18
_COUNTED = {b"host", b"content-length"}


class HeadReader:
    """Reads heads, whole ones. One serves all connections, and remembers header lines for them.

    Most clients send the same lines again, and many connections of one client, or of one proxy
    before us, send the same ones: what is equal needs not be judged twice.
    """

    def __init__(self, limits: ServerLimits) -> None:
        self._max_head = limits.max_header_bytes
        self._max_target = limits.max_target_bytes
        self._max_count = limits.max_header_count or 1 << 30
        self._headers: Headers = []
        self._blocks: dict[bytes, Fields] = {}  # the longest known first
        # The same for those with the length of a body, by what comes before and after its digits.
        self._counted_blocks: dict[tuple[bytes, bytes], Fields] = {}
        # By the request line and what the fields are known by.
        self._heads: dict[tuple[bytes, bytes, bytes], RequestHead] = {}

    def on_header(self, name: bytes, value: bytes) -> None:
        """llhttp's callback. It strips white space before a value, but none after it."""
        self._headers.append((name.lower(), value.rstrip(b" \t")))

    def read(self, head: bytes, known: Fields) -> RequestHead:
        """The request whose head, empty line included, is `head`. Raises BadHead.

        `known` are the fields of the request before it on the same connection.
        """
        end = head.find(b"\r\n")
        if known.rest and known.reader is self:
            length = _length_in(head, end, known)
            if length is not None:
                return self._counted(head, end, length, known)
        block = head[end:]
        if block != known.block or known.reader is not self:
            # Another user's, say, on a connection that a proxy before us shares out among them.
            known = self._blocks.get(block, NO_FIELDS)
            if known is NO_FIELDS and (digits := _length_of(block)) is not None:
                begin, stop = digits
                known = self._counted_blocks.get((block[:begin], block[stop:]), NO_FIELDS)
                if known is not NO_FIELDS:
                    return self._counted(head, end, int(block[begin:stop]), known)
        line = head[:end]
        found = self._heads.get((line, known.block, known.rest))
        if found is not None:
            return _repeated(found)
        result = self._read(head, end, block, known)
        if result.fields is known:
            self._keep(line, result)
        return result

    def _counted(self, head: bytes, end: int, length: int, known: Fields) -> RequestHead:
        """The head with the fields `known`, but for the length of its body."""
        line = head[:end]
        found = self._heads.get((line, known.block, known.rest))
        if found is None:
            found = self._read(head, end, head[end:], known)
            found.content_length = length
            if found.fields is known:
                self._keep(line, found)
            return found
        repeat = _repeated(found).repeat
        return RequestHead(
            found.method, found.path, found.query, known, content_length=length, repeat=repeat
        )

    def again(self, data: bytes, known: Fields) -> RequestHead | None:
        """The head that all of `data` is, if its header lines are those of the request before it.

        None as well for a request line that needs a closer look.
        """
        block = known.block
        if not block or known.rest or known.reader is not self or not data.endswith(block):
            return None
        line = data[: -len(block)]
        found = self._heads.get((line, block, b""))
        if found is not None:
            return _repeated(found)
        match = LINE.fullmatch(line)
        if match is None or len(data) > self._max_head:
            return None
        method, target, path, query, minor = match.groups()
        plain = path is not None and minor == b"1" and method in _COMMON_METHODS
        if not plain or len(target) > self._max_target:
            return None
        result = RequestHead(
            str(method, "ascii"), str(path, "ascii"), str(query, "ascii") if query else "", known
        )
        self._keep(line, result)
        return result

    def _keep(self, line: bytes, head: RequestHead) -> None:
        fields = head.fields
        if fields.family is None:
            fields.family = Family()
        if len(line) <= _KNOWN_LINE:
            remember(self._heads, (line, fields.block, fields.rest), head, _KNOWN_HEADS)

    def _read(self, head: bytes, end: int, block: bytes, known: Fields) -> RequestHead:
        line = LINE.fullmatch(head, 0, end)
        if line is None:
            raise BadHead(diagnose(head, self._max_target), made_out(head))
        method, target, path, query, minor = line.groups()
        http_1_1 = minor == b"1"
        fields = NO_FIELDS
        try:
            if len(target) > self._max_target:
                raise UriTooLong
            if known.block and http_1_1 and method in _COMMON_METHODS:
                fields = known
            else:
                _check_method(method)
                fields = self._take_apart(head, block)
                if not fields.block or not http_1_1:
                    return self._judge(method, target, fields, http_1_1, block)
            if path is None:
                path_, query_ = split_target(target, fields.first[b"host"])
            else:
                path_, query_ = str(path, "ascii"), str(query, "ascii") if query else ""
        except ApiError as error:
            seen = fields if fields is not NO_FIELDS else made_out(head).fields
            path = str(target.partition(b"?")[0], "ascii")
            raise BadHead(error, RequestHead(str(method, "ascii"), path, "", seen)) from None
        return RequestHead(str(method, "ascii"), path_, query_, fields)

    def _take_apart(self, head: bytes, block: bytes) -> Fields:
        if FIELDS.fullmatch(block) is None:
            raise diagnose(head, self._max_target)
        headers: Headers = []
        self._headers = headers
        try:
            # A body never passes through llhttp, so a parser serves for one head only.
            httptools.HttpRequestParser(self).feed_data(head)
        except httptools.HttpParserUpgrade:
            pass
        except httptools.HttpParserInvalidMethodError:
            raise MethodNotAllowed(METHODS) from None
        except httptools.HttpParserError as error:
            raise BadRequest(f"Malformed request: {error}") from None
        if len(headers) > self._max_count:
            raise HeadersTooLarge("The request has too many headers")
        fields = Fields(headers, dict(reversed(headers)))
        wire = [field for field in headers if field[0] in semantics.WIRE]
        if len(wire) == 1 and wire[0][0] == b"host" and is_authority(wire[0][1]):
            # It says nothing of how it goes on: no body, and the connection stays.
            fields.block, fields.reader = block, self
            if len(block) <= _KNOWN_BLOCK:
                remember(self._blocks, block, fields, _KNOWN_BLOCKS)
        return fields

    def _judge(
        self, method: bytes, target: bytes, fields: Fields, http_1_1: bool, block: bytes
    ) -> RequestHead:
        """What the wire headers say together."""
        wire = semantics.wire_headers(fields.headers)
        path, query = split_target(target, semantics.host(wire, http_1_1))
        result = RequestHead(str(method, "ascii"), path, query, fields, http_1_1, http_1_1)
        result.content_length = semantics.content_length(wire)
        result.chunked = semantics.is_chunked(wire, http_1_1)
        result.expects_continue = semantics.expects_continue(wire, http_1_1)
        options = semantics.connection_options(wire)
        if b"close" in options:
            result.keep_alive = False
        elif not http_1_1:
            result.keep_alive = b"keep-alive" in options
        if b"upgrade" in options and semantics.is_websocket(wire):
            result.websocket = http_1_1 and method == b"GET" and not result.has_body
        if http_1_1 and wire.keys() == _COUNTED:
            self._leave_length_out(fields, block)
        return result

    def _leave_length_out(self, fields: Fields, block: bytes) -> None:
        """Makes `fields`, which say nothing of the message but its length, hold for any length."""
        length = _length_of(block)
        if length is None:
            return
        begin, stop = length
        fields.headers = [field for field in fields.headers if field[0] != b"content-length"]
        del fields.first[b"content-length"]
        fields.block, fields.rest = block[:begin], block[stop:]
        fields.reader = self
        if len(block) <= _KNOWN_BLOCK:
            remember(self._counted_blocks, (fields.block, fields.rest), fields, _KNOWN_BLOCKS)


def _repeated(head: RequestHead) -> RequestHead:
    """`head`, which has come again: now it is worth remembering what was made of it."""
    if head.repeat is None:
        head.repeat = Repeat()
    return head


def _length_of(block: bytes) -> tuple[int, int] | None:
    """Where the digits of the first length in these header lines begin and end, if it has some."""
    for name in _LENGTHS:
        at = block.find(name)
        if at >= 0:
            begin = at + len(name)
            end = block.find(b"\r\n", begin)
            digits = block[begin:end]
            return (begin, end) if digits.isdigit() and len(digits) <= _MOST_DIGITS else None
    return None


def _length_in(head: bytes, end: int, known: Fields) -> int | None:
    """The length that `head`, whose first line ends there, has between the lines of `known`."""
    begin, stop = end + len(known.block), len(head) - len(known.rest)
    digits = head[begin:stop]
    if not digits.isdigit() or len(digits) > _MOST_DIGITS:
        return None
    # Both parts are where they were, and do not overlap as there is something between them.
    if not head.startswith(known.block, end) or not head.endswith(known.rest):
        return None
    return int(digits)


def _check_method(method: bytes) -> None:
    if method in _COMMON_METHODS:
        return
    if _METHOD.fullmatch(method) is None:
        raise BadRequest("Malformed request: methods are in capital letters")
    if method in _REFUSED_METHODS:
        raise MethodNotAllowed(METHODS)
