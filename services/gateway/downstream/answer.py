"""Answers as they go out on the wire."""

from __future__ import annotations

from email.utils import formatdate
from http import HTTPStatus

from services.gateway.exchange import Headers
from services.gateway.framing import rendered

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

_PHRASES = {status.value: status.phrase for status in HTTPStatus}


def _status_line(status: int) -> bytes:
    return f"HTTP/1.1 {status} {_PHRASES.get(status, '')}\r\n".encode("ascii")


_STATUS_LINES = {status: _status_line(status) for status in range(100, 600)}


def date_line() -> bytes:
    """The Date header line of this second (RFC 9110 section 6.6.1)."""
    return f"date: {formatdate(usegmt=True)}\r\n".encode("ascii")


def answer_bytes(
    status: int, headers: Headers, lines: bytes, date: bytes, framing: bytes, body: bytes
) -> bytes:
    """An answer. `lines`, `date` and `framing` are header lines with their ends."""
    line = _STATUS_LINES.get(status) or _status_line(status)
    own = rendered(headers) if headers else b""
    return b"%b%b%b%b%b\r\n%b" % (line, date, own, lines, framing, body)


def has_no_body(method: str, status: int) -> bool:
    """Whether an answer ends with its head, whatever its headers say (RFC 9112 section 6.3)."""
    return method == "HEAD" or status in {204, 304}
