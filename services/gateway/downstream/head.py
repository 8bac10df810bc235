"""The head of one request, taken apart: what a reader makes of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING

from services.gateway.downstream.grammar import accepted, asked
from services.gateway.exchange import Exchange, Family, Headers, Repeat
from shared.errors import ApiError

if TYPE_CHECKING:
    from services.gateway.downstream.head_reader import HeadReader


@dataclass(slots=True)
class Fields:
    """The header lines of a request, taken apart. Not to be changed: requests share them.

    `block` is how they came, and b"" where they say something of the message itself. The length of
    a body is the one thing that they may say: then `block` goes as far as its digits, `rest` comes
    after these, and they themselves are in no header here, so that they hold for any length.
    `reader` is who has read them. `family` is None until they come again.
    """

    headers: Headers
    first: dict[bytes, bytes]  # the first value of every header
    block: bytes = b""
    rest: bytes = b""
    reader: HeadReader | None = field(default=None, compare=False)
    family: Family | None = field(default=None, compare=False)


NO_FIELDS = Fields([], {})


@dataclass(slots=True)
class RequestHead:
    """A request's head, checked. `path` and `query` are raw. Not to be changed: it may be shared

    by requests that repeat it. `repeat` is None until one does.
    """

    method: str
    path: str
    query: str
    fields: Fields
    http_1_1: bool = True
    keep_alive: bool = True
    content_length: int | None = None
    chunked: bool = False
    expects_continue: bool = False
    websocket: bool = False
    repeat: Repeat | None = field(default=None, compare=False)

    @property
    def has_body(self) -> bool:
        """Whether the request is framed to carry a body."""
        return self.chunked or bool(self.content_length)

    def exchange(self, peer: str) -> Exchange:
        """What begins when it arrives from the address `peer`."""
        fields = self.fields
        # By position, as names would make a dictionary of them for every request.
        return Exchange(
            self.method,
            self.path,
            self.query,
            fields.headers,
            peer,
            perf_counter(),
            self.content_length,
            self.chunked,
            fields.first,
            self.repeat,
            fields.family,
        )


class BadHead(Exception):
    """A head that is refused with `error`; `head` is what could be made out of it."""

    def __init__(self, error: ApiError, head: RequestHead) -> None:
        super().__init__(error.text)
        self.error = error
        self.head = head


def made_out(beginning: bytes) -> RequestHead:
    """What can be seen of a head that is refused unread: what it asks for, and in which form."""
    accept = accepted(beginning)
    fields = NO_FIELDS if accept is None else Fields([(b"accept", accept)], {b"accept": accept})
    return RequestHead(*asked(beginning), "", fields)
