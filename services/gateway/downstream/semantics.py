"""What the headers of a request say about the connection and the body, taken together."""

from __future__ import annotations

import re

from services.gateway.downstream.target import is_authority
from services.gateway.exchange import Headers
from shared.errors import BadRequest

WireHeaders = dict[bytes, list[bytes]]

# The headers that say how the message goes on, which are the data plane's own business.
WIRE = frozenset(
    {b"host", b"content-length", b"transfer-encoding", b"connection", b"expect", b"upgrade"}
)

_LENGTH = re.compile(rb"[0-9]{1,18}")


def wire_headers(headers: Headers) -> WireHeaders:
    """The ones of `headers` that are in WIRE, with all their values."""
    wire: WireHeaders = {}
    for name, value in headers:
        if name in WIRE:
            wire.setdefault(name, []).append(value)
    return wire


def host(wire: WireHeaders, http_1_1: bool) -> bytes | None:
    """RFC 9112 section 3.2: exactly one Host, which HTTP/1.0 may leave out."""
    values = wire.get(b"host")
    if values is None:
        if http_1_1:
            raise BadRequest("Malformed request: the Host header is missing")
        return None
    if len(values) > 1:
        raise BadRequest("Malformed request: more than one Host header")
    if not is_authority(values[0]):
        raise BadRequest("Malformed request: the Host header is not a host")
    return values[0]


def content_length(wire: WireHeaders) -> int | None:
    """One decimal number, not a list of equal ones either."""
    values = wire.get(b"content-length")
    if values is None:
        return None
    if len(values) > 1 or _LENGTH.fullmatch(values[0]) is None:
        raise BadRequest("Malformed request: Content-Length must be one decimal number")
    return int(values[0])


def is_chunked(wire: WireHeaders, http_1_1: bool) -> bool:
    """RFC 9112 section 6.1, where it leaves a choice the strict one."""
    values = wire.get(b"transfer-encoding")
    if values is None:
        return False
    if not http_1_1:
        raise BadRequest("Malformed request: HTTP/1.0 has no Transfer-Encoding")
    if b"content-length" in wire:
        raise BadRequest("Malformed request: both Content-Length and Transfer-Encoding")
    if len(values) > 1 or values[0].lower() != b"chunked":
        raise BadRequest("Malformed request: the only Transfer-Encoding taken is chunked")
    return True


def expects_continue(wire: WireHeaders, http_1_1: bool) -> bool:
    """RFC 9110 section 10.1.1: an HTTP/1.0 client's expectation is ignored."""
    values = wire.get(b"expect")
    if values is None or not http_1_1:
        return False
    if len(values) > 1 or values[0].lower() != b"100-continue":
        raise BadRequest("Malformed request: the only expectation taken is 100-continue")
    return True


def connection_options(wire: WireHeaders) -> set[bytes]:
    """The members of the Connection header, in lower case."""
    values = wire.get(b"connection", [])
    return {token.strip(b" \t") for value in values for token in value.lower().split(b",")}


def is_websocket(wire: WireHeaders) -> bool:
    """Whether the Upgrade header asks for WebSocket (RFC 6455 section 4.1) and nothing else."""
    return [value.lower() for value in wire.get(b"upgrade", [])] == [b"websocket"]
