"""One connection of a client: heads in, turns taken in order, deadlines kept."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from services.gateway.downstream.departure import Departure, reset_when_closed
from services.gateway.downstream.grammar import hopeless
from services.gateway.downstream.head import NO_FIELDS, BadHead, RequestHead, made_out
from services.gateway.downstream.pace import NEVER, WriteWatch, next_deadline
from services.gateway.downstream.turn import Turn
from shared.errors import ApiError, RequestTimeout, ServiceUnavailable

if TYPE_CHECKING:
    from services.gateway.downstream.server import Server

_TURNS_AT_ONCE = 32  # pipelined requests that are taken before others get the loop

# What a connection is doing.
_READY = 1  # between requests
_HEAD = 2  # in the middle of a head
_TURN = 3  # a request is under way
_LINGER = 4  # answered for the last time; what still comes is thrown away
_CLOSED = 5  # going, or gone


class ClientConnection(asyncio.Protocol):
    """Takes requests one at a time, in order. What comes early waits, within bounds."""

    __slots__ = (
        "_advancing",
        "_buffer",
        "_fields",
        "_half_closed",
        "_reading",
        "_state",
        "_transport",
        "_writable",
        "deadline",
        "peer",
        "server",
        "turn",
        "write_watch",
    )

    def __init__(self, server: Server) -> None:
        self.server = server
        self.peer = ""
        self.deadline = NEVER  # loop time at which `expire` is due
        self._transport: asyncio.Transport | None = None
        self._state = _READY
        self.turn: Turn | None = None
        self._buffer = b""
        self._fields = NO_FIELDS  # of the last request
        self._advancing = False
        self._reading = True
        self._half_closed: Departure | None = None  # once the client has closed its side
        self._writable = True
        self.write_watch: WriteWatch | None = None

    # What the event loop tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.peer = (transport.get_extra_info("peername") or ("",))[0]
        self.deadline = self.server.loop.time() + self.server.limits.idle_timeout
        if not self.server.opened(self):
            self._refuse(ServiceUnavailable("Too many connections"))

    def data_received(self, data: bytes) -> None:
        if self._state >= _LINGER:
            return
        self._buffer = self._buffer + data if self._buffer else data
        if not self._advancing:
            self._advance()
        if self._buffer:
            self.reading_changed()

    def eof_received(self) -> bool:
        turn = self.turn
        if self._transport is None or turn is None or self._state != _TURN:
            return False
        if turn.intake.takes() or turn.is_listened_to:
            # A body that will never be complete, or a stream that nobody listens to any more.
            return False
        self._half_closed = Departure(self._transport, self.server.limits)
        self.deadline = self.server.loop.time() + self.server.limits.half_close_grace
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._state = _CLOSED
        self._transport = self._half_closed = None
        self.deadline = NEVER
        turn, self.turn = self.turn, None
        if turn is not None:
            turn.client_left()
        self._buffer = b""
        self.server.closed(self)

    def pause_writing(self) -> None:
        self._writable = False
        self._watch_writing()
        if self.turn is not None:
            self.turn.pause()

    def resume_writing(self) -> None:
        self._writable = True
        if self._state < _LINGER:
            self.write_watch = None
        if self.turn is not None:
            self.turn.resume()
        elif self._buffer and not self._advancing:
            self._advance()

    # What a turn does.

    @property
    def has_unread(self) -> bool:
        """Whether bytes after the head have come already."""
        return bool(self._buffer)

    def take_whole(self, length: int | None) -> bytes | None:
        """The counted body of the turn that begins, if all of it has come; else None."""
        if length is None or len(self._buffer) < length:
            return None
        body, self._buffer = self._buffer[:length], self._buffer[length:]
        return body

    def write(self, data: bytes) -> None:
        """Sends `data`, if there still is a client."""
        if self._transport is not None:
            self.server.outgoing.write(self._transport, data)

    def reading_changed(self) -> None:
        """A body is wanted that was not, or the other way round."""
        turn = self.turn
        if turn is not None and turn.intake.takes():
            if self._buffer and not self._advancing:
                self._advance()
            if self._half_closed and not self._buffer and turn.intake.takes():
                # No more will ever come: not of a body, nor through a WebSocket.
                self._close(linger=False)
                return
        if turn is not None and turn is self.turn:
            self._rate_clock(turn, 0)
        wanted = not self._is_full or (self.turn is not None and self.turn.intake.takes())
        if self._transport is None or wanted == self._reading:
            return
        self._reading = wanted
        if wanted:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def turn_over(self) -> None:
        """The request has been read and answered; the next one's turn."""
        turn, self.turn = self.turn, None
        if turn is None or self._state != _TURN:
            return
        if not turn.keep_alive or (self._half_closed and not self._buffer):
            goes_on = turn.client_goes_on or bool(self._buffer)
            self._close(linger=goes_on or not turn.intake.is_over)
            return
        self._state = _READY
        limits = self.server.limits
        wait = limits.half_close_grace if self._half_closed else limits.idle_timeout
        self.deadline = self.server.loop.time() + wait
        if not self._advancing and (self._buffer or not self._reading):
            self._advance()
            self.reading_changed()

    def abort(self, reset: bool = False) -> None:
        """Closes at once. With `reset` the client cannot take the end of the stream for an end."""
        self._state = _CLOSED
        if self._transport is not None:
            self.server.outgoing.flush()
            if reset:
                reset_when_closed(self._transport)
            self._transport.abort()

    # What the server does.

    @property
    def is_idle(self) -> bool:
        """Whether no request is under way or has begun to come in."""
        return self._state == _READY

    def expire(self, now: float) -> None:
        """The deadline has passed."""
        self.deadline = NEVER
        turn = self.turn
        if self._state == _READY:
            self._close(linger=False)
        elif self._state == _HEAD:
            self._refuse(RequestTimeout(), outcome="slow_client")
        elif turn is not None and self._half_closed:
            pause = self._half_closed.look(turn)
            if pause is None:
                self.abort()
            else:
                self.deadline = now + pause
        elif turn is not None:
            turn.exchange.outcome = "slow_client"
            turn.keep_alive = False
            turn.break_off(RequestTimeout("The request body did not arrive in time"))
        elif self._transport is not None and self._transport.get_write_buffer_size() == 0:
            self.abort()
        else:
            # Lingering over an answer that is still going out; its rate is watched.
            self.deadline = now + self.server.limits.linger_timeout

    def does_not_read(self) -> None:
        """The client reads its answer too slowly, or not at all."""
        if self.turn is not None:
            self.turn.exchange.outcome = "slow_client"
        self.abort()

    def finish(self) -> None:
        """The server stops: closes now if idle, else after the answer under way."""
        if self._state == _READY and self._fields is NO_FIELDS:
            # It has just come: its first request is on its way.
            self.deadline = self.server.loop.time() + self.server.limits.half_close_grace
        elif self._state == _READY:
            self._close(linger=False)
        elif self.turn is not None:
            self.turn.go_away()

    # Reading.

    @property
    def _is_full(self) -> bool:
        return len(self._buffer) > self.server.limits.pipeline_buffer

    def _advance(self) -> None:
        """Works through what has been read, as far as it goes."""
        self._advancing = True
        turns = 0
        try:
            while self._buffer and self._writable:
                turn = self.turn
                if turn is not None:
                    if not turn.intake.takes():
                        break
                    data, self._buffer = self._buffer, b""
                    self._buffer = turn.feed(data)
                    if self.turn is turn:
                        self._rate_clock(turn, len(data))
                elif self._state >= _LINGER:
                    self._buffer = b""
                elif turns >= _TURNS_AT_ONCE:
                    self.server.loop.call_soon(self._advance)
                    break
                elif not self._take_head():
                    break
                else:
                    turns += 1
        finally:
            self._advancing = False

    def _rate_clock(self, turn: Turn, size: int) -> None:
        """`size` bytes of a body have come; as long as there is more to take, it is waited for."""
        if turn.intake.takes() and turn.intake.paced:
            due, now = self.deadline if size else NEVER, self.server.loop.time()
            self.deadline = next_deadline(due, size, now, self.server.limits)
        elif turn.intake.takes() or not self._half_closed:
            # Else it is decided already how long such a client is kept.
            self.deadline = NEVER

    def _take_head(self) -> bool:
        """Begins the next turn, if its head is there; says whether it did."""
        data = self._buffer
        again = self.server.heads.again(data, self._fields)
        if again is not None:
            self._buffer = b""
            self._begin_turn(again).start()
            return True
        if data[0] == 0x0D and data[:2] == b"\r\n" and self._state == _READY:
            # RFC 9112 section 2.2: an empty line before the request line is let pass, one.
            data = data[2:]
        end = data.find(b"\r\n\r\n") + 4
        limits = self.server.limits
        if end < 4 or end > limits.max_header_bytes:
            self._head_not_there(data)
            return False
        head, self._buffer = data[:end], data[end:]
        try:
            request = self.server.heads.read(head, self._fields)
        except BadHead as bad:
            self._refuse(bad.error, bad)
            return False
        self._begin_turn(request).start()
        return True

    def _begin_turn(self, head: RequestHead) -> Turn:
        self._state = _TURN
        self._fields = head.fields
        self.deadline = NEVER
        if self._half_closed:
            self.deadline = self.server.loop.time() + self.server.limits.half_close_grace
        self.turn = turn = Turn(self, head)
        return turn

    def _head_not_there(self, data: bytes) -> None:
        """A head that has not come to its end: waits for more of it, unless it is hopeless."""
        limits = self.server.limits
        error = hopeless(data, limits.max_target_bytes, limits.max_header_bytes)
        if error is not None:
            self._refuse(error)
        elif self._state == _READY:
            self._state = _HEAD
            self.deadline = self.server.loop.time() + limits.header_timeout

    def _watch_writing(self) -> None:
        if self._transport is not None and self.write_watch is None:
            self.write_watch = WriteWatch(self._transport, self.server.limits)

    # Closing.

    def _refuse(
        self, error: ApiError, bad: BadHead | None = None, outcome: str = "malformed"
    ) -> None:
        """Answers a request that never became one, and closes."""
        head = bad.head if bad else made_out(self._buffer)
        turn = self._begin_turn(head)
        turn.exchange.outcome = outcome
        turn.keep_alive = False
        turn.refuse(error)

    def _close(self, linger: bool) -> None:
        """Closes when all is sent; with `linger`, once the client has had time to read it."""
        # To close with bytes unread resets the connection, and takes the answer with it.
        self._buffer = b""
        transport = self._transport
        if transport is None:
            return
        self.server.outgoing.flush()
        self.deadline = self.server.loop.time() + self.server.limits.linger_timeout
        self._watch_writing()
        if linger and not self._half_closed:
            self._state = _LINGER
            transport.write_eof()
            if not self._reading:
                self._reading = True
                transport.resume_reading()
        else:
            self._state = _CLOSED
            transport.close()
