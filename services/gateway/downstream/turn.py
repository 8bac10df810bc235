"""One request's turn on a client's connection: from its head to the end of its answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from services.gateway import eager
from services.gateway.downstream.answer import CONTINUE
from services.gateway.downstream.frames import Tunnel
from services.gateway.downstream.head import RequestHead
from services.gateway.downstream.reply import Reply
from services.gateway.exchange import Answer, Decision, Forward, Inspect, Relay
from services.gateway.framing import BadFraming
from services.gateway.upstream.call import Call
from services.gateway.upstream.head import ResponseHead
from services.gateway.upstream.request import NO_BODY, Body
from shared.errors import ApiError, BadRequest, InternalError, PayloadTooLarge

if TYPE_CHECKING:
    from services.gateway.downstream.connection import ClientConnection


class Turn(Reply):
    """Asks the policy what to do with a request, and carries out its decision."""

    __slots__ = (
        "_admitting",
        "_call",
        "_forward",
        "_gathered",
        "_inspected",
        "_inspecting",
        "_response",
        "_tunnel",
    )

    def __init__(self, connection: ClientConnection, head: RequestHead) -> None:
        Reply.__init__(self, connection, head)
        self._forward: Forward | None = None
        self._admitting: asyncio.Task[Decision] | None = None
        self._call: Call | None = None
        self._gathered: list[bytes] = []
        self._response: ResponseHead | None = None
        self._inspecting: Inspect | None = None
        self._inspected = b""
        self._tunnel: Tunnel | None = None

    # The request.

    def start(self) -> None:
        """Asks the policy what to do."""
        try:
            if self._policy.readmit(self.exchange, self._decided):
                return
            outcome = eager.run(self._policy.admit(self.exchange), self._connection.server.loop)
        except ApiError as error:
            self.refuse(error)
        except Exception as error:  # noqa: BLE001 - a fault of ours is a 500, whatever it is
            self.refuse(_internal(error))
        else:
            if isinstance(outcome, asyncio.Task):
                self._admitting = outcome
                outcome.add_done_callback(self._admitted)
            else:
                self._decide(outcome)

    def _admitted(self, task: asyncio.Task[Decision]) -> None:
        self._admitting = None
        if task.cancelled() or self.is_over:
            return
        error = task.exception()
        if error is not None and not isinstance(error, ApiError):
            error = _internal(error)
        self._decided(error or task.result())

    def _decided(self, decision: Decision | ApiError) -> None:
        if self.is_over:
            return
        if isinstance(decision, ApiError):
            self.refuse(decision)
        else:
            self._decide(decision)

    def _decide(self, decision: Decision) -> None:
        if isinstance(decision, Answer):
            self.answer(decision)
            return
        self._forward = decision
        head, intake = self._head, self.intake
        if intake.decoder is None:
            self._call_upstream(NO_BODY if head.content_length is None else Body(declared=True))
        elif (head.content_length or 0) > decision.max_body:
            self.exchange.outcome = "too_large"
            self.refuse(_too_large(decision))
        elif (whole := self._connection.take_whole(head.content_length)) is not None:
            intake.take_whole(whole)
            self._call_upstream(Body(whole, True, len(whole), declared=True))
        else:
            intake.limit = decision.max_body
            intake.held = False
            if head.expects_continue and not self._connection.has_unread:
                self._connection.write(CONTINUE)
            self._connection.reading_changed()

    def feed(self, data: bytes) -> bytes:
        """Takes more of the body; gives back what is not of it."""
        try:
            payload, rest = self.intake.feed(data)
        except (BadFraming, PayloadTooLarge) as error:
            self._bad_body(error)
            return b""
        if self.intake.discards:
            if self.intake.is_over:
                self._connection.turn_over()
        elif self._call is not None:
            if self._tunnel is not None:
                self._tunnel.goes_up(payload)
            self._call.send(payload, self.intake.is_over)
        else:
            self._gather(payload)
        return rest

    def _gather(self, payload: bytes) -> None:
        """A small body is complete before a service sees it, so a slow one occupies none."""
        self._gathered.append(payload)
        complete = self.intake.is_over
        if not complete and self.intake.received <= self._connection.server.limits.body_buffer:
            return
        self.intake.held = True
        start = b"".join(self._gathered)
        self._gathered.clear()
        length = len(start) if complete else self._head.content_length
        self._call_upstream(Body(start, complete, length, declared=True))

    def _bad_body(self, error: BadFraming | PayloadTooLarge) -> None:
        if self.is_over:
            self._connection.abort()
            return
        self.exchange.outcome = "malformed"
        refusal: ApiError = BadRequest(f"Malformed request: {error}")
        if isinstance(error, PayloadTooLarge):
            self.exchange.outcome = "too_large"
            refusal = _too_large(self._forward)
        self.keep_alive = False
        self.break_off(refusal)

    def break_off(self, error: ApiError) -> None:
        """Ends the exchange for a fault of the client's: with `error` if nothing is out yet."""
        self._drop_call()
        if self._status:
            self.cut()
        else:
            self.refuse(error)

    # The upstream's answer.

    def _call_upstream(self, body: Body) -> None:
        assert self._forward is not None
        try:
            upstream = self._connection.server.upstreams[self._forward.upstream]
        except KeyError as error:
            self.refuse(_internal(error))
            return
        self._call = call = Call(
            upstream, self.exchange, self._forward, body, self, self._head.websocket
        )
        call.start()

    def begin(self, head: ResponseHead, body: bytes, finished: bool) -> None:
        """The answer begins: the policy judges it by its head."""
        if finished:
            self._call = None
        self._response = head
        try:
            verdict = self._policy.receive(self.exchange, head)
        except Exception as error:  # noqa: BLE001 - a fault of ours is a 500, whatever it is
            self._drop_call()
            self.refuse(_internal(error))
            return
        if isinstance(verdict, Relay):
            if head.status == 101:
                self._tunnel = Tunnel()
                self._tunnel.goes_down(body)
            self._relay(verdict, head, body, finished)
        else:
            self._inspecting = verdict
            self._inspect(body, finished)

    def more(self, body: bytes, finished: bool) -> None:
        """More of the answer."""
        if finished:
            self._call = None
        if self._inspecting is not None:
            self._inspect(body, finished)
            return
        if self._tunnel is not None:
            self._tunnel.goes_down(body)
        self._pass_on(body, finished)

    def fail(self, error: ApiError) -> None:
        """No answer, or not all of it."""
        self._call = None
        if self._inspecting is not None:
            self._rewrite(complete=False)
        elif self._status:
            self.cut()
        else:
            self.refuse(error)

    def hold(self) -> None:
        """The service takes no more of the body; so neither do we."""
        self.intake.held = True
        self._connection.reading_changed()

    def go_on(self) -> None:
        """The service takes more of the body."""
        self.intake.held = False
        self._connection.reading_changed()

    def pause(self) -> None:
        """The client does not read its answer at the moment."""
        if self._call is not None:
            self._call.pause()

    def resume(self) -> None:
        """The client has read what there was."""
        if self._call is not None:
            self._call.resume()

    def _inspect(self, body: bytes, finished: bool) -> None:
        """Gathers the answer for the policy, up to the limit it has set."""
        assert self._inspecting is not None
        self._inspected += body
        too_long = len(self._inspected) > self._inspecting.limit
        if too_long:
            self._inspected = self._inspected[: self._inspecting.limit]
            self._drop_call()
        if finished or too_long:
            self._rewrite(complete=not too_long)

    def _rewrite(self, complete: bool) -> None:
        assert self._response is not None
        self._inspecting = None
        head = self._response
        try:
            answer = self._policy.rewrite(
                self.exchange, head.status, head.headers, self._inspected, complete
            )
        except Exception as error:  # noqa: BLE001 - a fault of ours is a 500, whatever it is
            self.refuse(_internal(error))
            return
        self.answer(answer)

    # The end.

    @property
    def is_listened_to(self) -> bool:
        """Whether the answer is a stream that goes on for as long as its client is there."""
        return self.has_begun and self._response is not None and self._response.is_event_stream

    def go_away(self) -> None:
        """The gateway stops: a WebSocket is told so on both sides, all else may come to its end."""
        call, tunnel = self._call, self._tunnel
        if call is None or tunnel is None:
            return
        to_client, to_service = tunnel.goodbye()
        call.send(to_service, False)
        self._drop_call()
        self._connection.write(to_client)
        self._over()

    def client_left(self) -> None:
        """The client is gone; so nobody needs the answer any more."""
        if self.is_over:
            return
        if self._admitting is not None:
            self._admitting.cancel()
            self._admitting = None
        self._drop_call()
        if self.exchange.outcome == "ok":
            self.exchange.outcome = "client_left"
        self._finish()

    def _drop_call(self) -> None:
        call, self._call = self._call, None
        if call is not None:
            call.cancel()


def _internal(cause: BaseException) -> InternalError:
    error = InternalError()
    error.__cause__ = cause
    return error


def _too_large(decision: Forward | None) -> PayloadTooLarge:
    """Says how much the route takes, in the words that the services have for it."""
    if decision is None:
        return PayloadTooLarge()
    return PayloadTooLarge(details={"body": [f"At most {decision.max_body} bytes."]})
