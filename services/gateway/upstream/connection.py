"""One connection to a service: one exchange at a time, checked byte by byte."""

from __future__ import annotations

import asyncio
import select
from typing import TYPE_CHECKING, Protocol, cast

import structlog

from services.gateway.framing import BadFraming, Decoder, LongHead, UntilClose
from services.gateway.upstream.head import MAX_HEAD, HeadReader, ResponseHead

if TYPE_CHECKING:
    from services.gateway.upstream.endpoint import Endpoint

log = structlog.get_logger(__name__)

_BODILESS = (101, 204, 304)
MAX_INTERIM = 16  # 1xx answers before the real one


class Listener(Protocol):
    """Who a connection tells what comes of the exchange on it."""

    def response(self, head: ResponseHead, body: bytes, finished: bool) -> None:
        """The answer's head, and the part of its body that came with it."""

    def body(self, data: bytes, finished: bool) -> None:
        """More of the answer's body."""

    def lost(self, outcome: str) -> None:
        """The exchange is over before its answer is. `outcome` is one of those of an Exchange:

        reset, bad_framing, long_head or truncated.
        """

    def blocked(self) -> None:
        """The service does not take more of the request at the moment."""

    def unblocked(self) -> None:
        """It does again."""


class UpstreamConnection(asyncio.Protocol):
    """Is either idle in its endpoint's pool, or carries the exchange of one Listener."""

    __slots__ = (
        "_decoder",
        "_endpoint",
        "_head",
        "_held",
        "_interim",
        "_listener",
        "_method",
        "_outgoing",
        "_paused",
        "_poll",
        "_reader",
        "_transport",
        "answered",
        "exchanges",
        "idle_since",
        "request_sent",
    )

    def __init__(self, endpoint: Endpoint, reader: HeadReader) -> None:
        self._endpoint = endpoint
        self._outgoing = endpoint.outgoing
        self._reader = reader
        self._transport: asyncio.Transport | None = None
        self._poll: select.poll | None = None
        self._listener: Listener | None = None
        self._method = ""
        self._held = b""
        self._interim = 0
        self._head: ResponseHead | None = None
        self._decoder: Decoder | None = None
        self._paused = False
        self.exchanges = 0  # how many it has begun
        self.answered = False  # whether a byte of the answer has come
        self.request_sent = False
        self.idle_since = 0.0  # loop time

    @property
    def is_open(self) -> bool:
        """Whether it can carry an exchange, as far as the event loop knows."""
        return self._transport is not None and not self._transport.is_closing()

    # What the owner does.

    def begin(self, listener: Listener, method: str, request: bytes, complete: bool) -> None:
        """Sends the beginning of a request, all of it if `complete`, and listens for the answer."""
        self._listener = listener
        self._method = method
        self._interim = 0
        self.exchanges += 1
        self.answered = False
        self.request_sent = complete
        if self._transport is not None:
            self._outgoing.write(self._transport, request)

    def send(self, data: bytes, finished: bool) -> None:
        """Sends more of the request, framed already."""
        self.request_sent = finished
        if data and self._transport is not None:
            self._outgoing.write(self._transport, data)

    def pause(self) -> None:
        """Stops reading the answer, until `resume`."""
        if not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Goes on reading the answer."""
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()

    def keep(self) -> None:
        """Puts a connection that nobody needs at the moment into the pool."""
        self._endpoint.checkin(self)

    def drop(self) -> None:
        """Closes the connection at once, without telling the listener."""
        self._listener = None
        self._endpoint.forget(self)
        if self._transport is not None:
            self._outgoing.flush()
            self._transport.abort()

    def is_silent(self) -> bool:
        """Whether the socket has nothing to read: neither bytes nor the end of the stream.

        The event loop tells late of a service that closed; this asks the socket itself.
        """
        if self._transport is None or self._transport.is_closing():
            return False
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return not self._poll.poll(0)

    # What the event loop tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def pause_writing(self) -> None:
        if self._listener is not None:
            self._listener.blocked()

    def resume_writing(self) -> None:
        if self._listener is not None:
            self._listener.unblocked()

    def data_received(self, data: bytes) -> None:
        if self._listener is None:
            # A service has nothing to say on an idle connection; what it says is not trusted.
            self.drop()
            return
        self.answered = True
        try:
            if self._decoder is None:
                self._take_head(data)
            else:
                self._take_body(self._decoder, data)
        except BadFraming as error:
            log.warning("upstream_answer_malformed", endpoint=self._endpoint.url, reason=str(error))
            self._fail("long_head" if isinstance(error, LongHead) else "bad_framing")

    def eof_received(self) -> None:
        self._ended()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._ended(broken=exc is not None)

    # The answer.

    def _take_head(self, data: bytes) -> None:
        if self._held:
            data = self._held + data
            self._held = b""
        while True:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                if not b"HTTP/1.".startswith(data[:7]):
                    raise BadFraming("the answer does not begin with a head")
                if len(data) > MAX_HEAD:
                    raise LongHead("the answer's head does not end")
                self._held = data
                return
            if end > MAX_HEAD:
                raise LongHead("the answer's head is too long")
            head = self._reader.read(data[:end])
            data = data[end + 4 :]
            if head.status >= 200 or head.status == 101:
                break
            self._interim += 1
            if self._interim > MAX_INTERIM:
                raise BadFraming("the service does not come to its answer")
            if not data:
                return
        if len(data) == head.length and self._method != "HEAD" and head.status not in _BODILESS:
            # The usual answer: counted, and all there.
            listener = self._listener
            assert listener is not None
            self._finish(head, surplus=False)
            listener.response(head, data, True)
        else:
            self._begin_body(head, data)

    def _begin_body(self, head: ResponseHead, data: bytes) -> None:
        self._head = head
        if head.status == 101:
            # Both sides are byte streams from here on. Whether it was asked for is the listener's
            # to judge.
            decoder: Decoder = UntilClose()
        else:
            decoder = head.decoder(self._method)
        listener = cast("Listener", self._listener)
        bodiless = decoder.finished
        if bodiless:
            self._finish(head, surplus=bool(data))
            listener.response(head, b"", True)
            return
        self._decoder = decoder
        body = decoder.feed(data) if data else b""
        if decoder.finished:
            self._finish(head, surplus=bool(decoder.rest))
        listener.response(head, body, decoder.finished)

    def _take_body(self, decoder: Decoder, data: bytes) -> None:
        body = decoder.feed(data)
        listener = cast("Listener", self._listener)
        if decoder.finished:
            self._finish(cast("ResponseHead", self._head), surplus=bool(decoder.rest))
        if body or decoder.finished:
            listener.body(body, decoder.finished)

    def _finish(self, head: ResponseHead, surplus: bool) -> None:
        """The answer is complete: back to the pool, if both sides agree on where it ended."""
        reusable = head.keep_alive and self.request_sent and not surplus
        self._listener = None
        self._head = None
        self._decoder = None
        if not reusable:
            self.drop()
            return
        if self._paused:
            self.resume()
        self._endpoint.checkin(self)

    def _ended(self, broken: bool = False) -> None:
        """The service has closed its side, or the connection is gone."""
        listener, decoder = self._listener, self._decoder
        if listener is None:
            self.drop()
        elif isinstance(decoder, UntilClose) and not broken:
            self.drop()
            listener.body(b"", True)
        else:
            self._fail("reset" if decoder is None else "truncated")

    def _fail(self, outcome: str) -> None:
        listener = self._listener
        self.drop()
        if listener is not None:
            listener.lost(outcome)
