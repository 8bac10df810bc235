"""What goes back to the client in one exchange. Once its head is out, there is no other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from services.gateway.downstream.answer import CONTINUE, answer_bytes, has_no_body
from services.gateway.downstream.head import RequestHead
from services.gateway.downstream.intake import Intake
from services.gateway.exchange import Answer, Headers, Relay
from services.gateway.framing import LAST_CHUNK, chunk
from services.gateway.upstream.head import ResponseHead
from shared.errors import ApiError, InternalError

if TYPE_CHECKING:
    from services.gateway.compress import Encoder
    from services.gateway.downstream.connection import ClientConnection

# A 204 has no length, and that of a 304 would be the one of the answer it stands for.
_UNCOUNTED = (204, 304)

log = structlog.get_logger(__name__)


class Reply:
    """Frames and sends the answer, and tells the policy how the exchange ended, exactly once."""

    __slots__ = (
        "_chunked",
        "_connection",
        "_encoder",
        "_head",
        "_policy",
        "_status",
        "exchange",
        "intake",
        "is_over",
        "keep_alive",
        "sent",
    )

    def __init__(self, connection: ClientConnection, head: RequestHead) -> None:
        self._connection = connection
        self._policy = connection.server.policy
        self._head = head
        self.exchange = head.exchange(connection.peer)
        self.intake = Intake(head)
        self.keep_alive = head.keep_alive
        self.is_over = False
        self._chunked = False
        self._encoder: Encoder | None = None  # what the answer's body goes through
        self._status = 0  # of the answer, once its head is out
        self.sent = 0  # bytes of the answer's body

    @property
    def client_goes_on(self) -> bool:
        """Whether the client expects to send more on this connection."""
        return self._head.keep_alive

    @property
    def has_begun(self) -> bool:
        """Whether the head of the answer is out, and the rest is not."""
        return self._status != 0 and not self.is_over

    def ask_for_patience(self) -> bool:
        """Says that the answer is still to come, if the client's protocol has words for that."""
        if self._status or not self._head.http_1_1:
            return False
        self._connection.write(CONTINUE)
        return True

    def refuse(self, error: ApiError) -> None:
        """Answers with `error`, as the policy renders it."""
        if isinstance(error, InternalError):
            self.exchange.outcome = "internal"
        try:
            answer = self._policy.refuse(self.exchange, error)
        except Exception:
            log.exception("refusal_not_rendered")
            self.cut()
            return
        self.answer(answer)

    def answer(self, answer: Answer) -> None:
        """Sends an answer of the gateway's own."""
        body = b"" if has_no_body(self.exchange.method, answer.status) else answer.body
        framing = b""
        if answer.status not in _UNCOUNTED:
            framing = b"content-length: %d\r\n" % len(answer.body)
        if not self.intake.discard(self._discardable()):
            self.keep_alive = False
        self.sent = len(body)
        self._write_head(answer.status, answer.headers, answer.lines, framing, body)
        self._over()

    def _discardable(self) -> int:
        """How many bytes of a body that nobody wants are read for the connection's sake."""
        if self._head.expects_continue and not self.intake.received:
            # A client that waits to be asked for its body may send it or not: no way to tell.
            return 0
        return self._connection.server.limits.body_buffer

    def _relay(self, relay: Relay, head: ResponseHead, body: bytes, finished: bool) -> None:
        """Begins to pass on the upstream's answer."""
        status, length = relay.status, head.length
        framing = b""
        if relay.encoder is not None:
            length = None
            if not has_no_body(self.exchange.method, status):
                self._encoder = relay.encoder
                body = relay.encoder.feed(body, finished)
        if status == 101:
            framing = b"connection: upgrade\r\nupgrade: websocket\r\n"
            self.keep_alive = False
            self.intake.switch_protocol()
        elif has_no_body(self.exchange.method, status):
            if length is not None and status != 204:
                framing = b"content-length: %d\r\n" % length
            body = b""
        elif finished:
            framing = b"content-length: %d\r\n" % len(body)
        elif length is not None:
            framing = b"content-length: %d\r\n" % length
        elif self._head.http_1_1:
            framing = b"transfer-encoding: chunked\r\n"
            self._chunked = True
        else:
            self.keep_alive = False
        self.sent = len(body)
        if self._chunked and body:
            body = chunk(body)
        self._write_head(status, relay.headers, relay.lines, framing, body)
        if finished:
            self._over()
        elif status == 101:
            self._connection.reading_changed()

    def _pass_on(self, body: bytes, finished: bool) -> None:
        """More of an answer that `_relay` has begun."""
        if self._encoder is not None:
            body = self._encoder.feed(body, finished)
        self.sent += len(body)
        if self._chunked:
            body = (chunk(body) if body else b"") + (LAST_CHUNK if finished else b"")
        if body:
            self._connection.write(body)
        if finished:
            self._over()

    def _write_head(
        self, status: int, headers: Headers, lines: bytes, framing: bytes, body: bytes
    ) -> None:
        server = self._connection.server
        if status != 101:
            if server.draining or not (self.intake.decoder is None or self.intake.discards):
                self.keep_alive = False
            if not self.keep_alive:
                framing += b"connection: close\r\n"
            elif not self._head.http_1_1:
                framing += b"connection: keep-alive\r\n"
        self._status = status
        self._connection.write(answer_bytes(status, headers, lines, server.date, framing, body))

    def cut(self) -> None:
        """Ends an answer so that it does not look complete: not even one that ends with the

        connection, as HTTP/1.0 has them.
        """
        self._finish()
        self._connection.abort(reset=not self._chunked and not self._head.http_1_1)

    def _over(self) -> None:
        """The answer is complete."""
        self._finish()
        if self.keep_alive and self.intake.decoder is not None:
            self._connection.reading_changed()
        else:
            self._connection.turn_over()

    def _finish(self) -> None:
        if self.is_over:
            return
        self.is_over = True
        try:
            self._policy.finish(self.exchange, self._status or 499, self.intake.received, self.sent)
        except Exception:
            log.exception("exchange_not_recorded")
