"""A request as a service gets it on the wire."""

from __future__ import annotations

from dataclasses import dataclass

from services.gateway.exchange import Forward
from services.gateway.framing import chunk, rendered

_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})


@dataclass(slots=True)
class Body:
    """A request's body as far as it is known: its beginning, and whether that is all of it."""

    start: bytes = b""
    complete: bool = True
    length: int | None = 0  # bytes in all; None when they are not counted beforehand
    declared: bool = False  # whether the client spoke of a body, be it an empty one

    @property
    def in_chunks(self) -> bool:
        """Whether it has to go out in chunks, because nobody knows yet how long it is."""
        return not self.complete and self.length is None


NO_BODY = Body()


def request_bytes(
    method: str, forward: Forward, id_line: bytes, authority: bytes, body: Body, websocket: bool
) -> bytes:
    """The request's head for the service at `authority`, and what there is of the body.

    `id_line` is the header line with the request's id, or nothing.
    """
    framing = b""
    start = body.start
    if not body.complete and body.length is None:
        framing = b"transfer-encoding: chunked\r\n"
        start = chunk(start) if start else b""
    elif start or body.length or body.declared or method in _WITH_BODY:
        length = len(start) if body.complete else body.length or 0
        framing = b"content-length: %d\r\n" % length
    if websocket:
        framing += b"connection: upgrade\r\nupgrade: websocket\r\n"
    return b"%b %b HTTP/1.1\r\nhost: %b\r\n%b%b%b%b\r\n%b" % (
        method.encode("ascii"),
        forward.target,
        authority,
        rendered(forward.headers) if forward.headers else b"",
        forward.lines,
        id_line,
        framing,
        start,
    )
