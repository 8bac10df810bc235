"""Carries one request to an upstream and the answer back: attempts, deadlines, back-pressure."""

from __future__ import annotations

import math
from time import perf_counter
from typing import TYPE_CHECKING

from services.gateway.exchange import Exchange, Forward
from services.gateway.framing import LAST_CHUNK, chunk
from services.gateway.upstream.connection import UpstreamConnection
from services.gateway.upstream.endpoint import Endpoint
from services.gateway.upstream.failures import UNREACHABLE, error_of
from services.gateway.upstream.head import ResponseHead
from services.gateway.upstream.receiver import Receiver
from services.gateway.upstream.request import Body, request_bytes
from services.gateway.upstream.retry import PASSING, is_repeatable

if TYPE_CHECKING:
    from services.gateway.upstream.pool import Upstream

_NEVER = math.inf
_FAILED = 500  # the least status of a service that could not do its work


class Call:
    """One request on its way. Attempts follow each other; at most one is under way."""

    __slots__ = (
        "_answering",
        "_body",
        "_budgeted",
        "_connection",
        "_done",
        "_endpoint",
        "_exchange",
        "_failures",
        "_forward",
        "_paused_at",
        "_queue_until",
        "_receiver",
        "_sent",
        "_started",
        "_total_at",
        "_tried",
        "_upstream",
        "_waiting",
        "_websocket",
        "deadline",
        "is_repeatable",
    )

    def __init__(
        self,
        upstream: Upstream,
        exchange: Exchange,
        forward: Forward,
        body: Body,
        receiver: Receiver,
        websocket: bool = False,
    ) -> None:
        self._upstream = upstream
        self._exchange = exchange
        self._forward = forward
        self._body = body
        self._receiver = receiver
        self._websocket = websocket
        self.is_repeatable = is_repeatable(exchange)
        self._tried: list[Endpoint] = []
        self._failures = 0
        self._budgeted = 0  # retries taken out of the budget
        self._endpoint: Endpoint | None = None
        self._connection: UpstreamConnection | None = None
        self._waiting = False  # for a connection to the endpoint
        self._queue_until = 0.0  # loop time
        self._sent = False  # whether a byte of the request has gone out in this attempt
        self._answering = False  # whether the answer has begun
        self._done = False
        self._paused_at: float | None = None
        self._started = 0.0
        self._total_at = _NEVER
        self.deadline = _NEVER  # loop time at which `expire` is due

    # What the receiver does.

    def start(self) -> None:
        """Begins the first attempt. The receiver may hear of the end before this returns."""
        upstream = self._upstream
        self._started = perf_counter()
        self._exchange.upstream_name = upstream.name
        upstream.calls.add(self)
        now = upstream.now()
        if self._body.complete:
            self._total_at = now + self._forward.timeouts.total
        if not upstream.breaker.failures or upstream.breaker.admits(now):
            self._attempt(now)
        else:
            self._give_up("unavailable")

    def send(self, data: bytes, finished: bool) -> None:
        """More of the request's body, once `go_on` was called."""
        connection = self._connection
        if self._done or connection is None:
            return
        if self._body.in_chunks:
            data = (chunk(data) if data else b"") + (LAST_CHUNK if finished else b"")
        connection.send(data, finished)
        now = self._upstream.now()
        if self._answering:
            self._wait_for_more(now)
        elif finished:
            self._total_at = now + self._forward.timeouts.total
            self.deadline = min(now + self._forward.timeouts.first_byte, self._total_at)

    def pause(self) -> None:
        """The client does not take more of the answer; its time is not the service's."""
        if self._paused_at is None and self._connection is not None:
            self._paused_at = self._upstream.now()
            self._connection.pause()
            self.deadline = _NEVER

    def resume(self) -> None:
        """The client takes more again."""
        if self._paused_at is not None and self._connection is not None:
            now = self._upstream.now()
            self._total_at += now - self._paused_at
            self._paused_at = None
            self._wait_for_more(now)
            self._connection.resume()

    def cancel(self) -> None:
        """The client has left, or wants no more of the answer."""
        self._end()

    # What the pool does.

    def expire(self) -> None:
        """The deadline has passed."""
        if self._waiting:
            self._wait_on()
        elif self._answering or not self._ask_another("timeout"):
            self._give_up("timeout")

    # What the connection tells.

    def response(self, head: ResponseHead, body: bytes, finished: bool) -> None:
        """The answer begins."""
        if head.status == 101 and not (self._websocket and head.protocol == b"websocket"):
            self._give_up("bad_framing")
            return
        if self._endpoint is not None:
            if head.status < _FAILED:
                self._upstream.succeeded(self._endpoint)
            elif self._asks_another_after(head.status, finished):
                return
        self._answering = True
        self._exchange.upstream_seconds = perf_counter() - self._started
        if finished:
            self._connection = None
            self._end()
        else:
            if head.status == 101 or head.is_event_stream:
                self._total_at = _NEVER
            self._wait_for_more(self._upstream.now())
        self._receiver.begin(head, body, finished)

    def body(self, data: bytes, finished: bool) -> None:
        """More of the answer."""
        if finished:
            self._connection = None
            self._end()
        elif self._paused_at is None:
            self._wait_for_more(self._upstream.now())
        self._receiver.more(data, finished)

    def lost(self, outcome: str) -> None:
        """The connection failed under the exchange."""
        connection, self._connection = self._connection, None
        if self._answering or connection is None or connection.answered:
            self._give_up(outcome)
        else:
            # An idle connection that dies under its next request was most likely closed before.
            self._attempt_failed(outcome, reused=connection.exchanges > 1)

    def blocked(self) -> None:
        """The service takes no more of the request."""
        if not self._answering:
            self.deadline = self._upstream.now() + self._forward.timeouts.idle
        self._receiver.hold()

    def unblocked(self) -> None:
        """The service takes more of the request."""
        if not self._answering and not self._body.complete:
            self.deadline = _NEVER
        self._receiver.go_on()

    # What the queue tells.

    def connected(self, connection: UpstreamConnection) -> None:
        """A connection is there."""
        self._waiting = False
        if self._endpoint is not None:
            self._send_on(connection, self._endpoint, self._upstream.now())

    def not_connected(self) -> None:
        """None can be had."""
        self._waiting = False
        self._attempt_failed("refused")

    # Attempts.

    def _attempt(self, now: float, *, fresh: bool = False) -> None:
        endpoint = self._endpoint = self._upstream.pick(self._tried, now)
        endpoint.active += 1
        if not fresh:
            connection = endpoint.checkout(now, certain=not self.is_repeatable)
            if connection is not None:
                self._send_on(connection, endpoint, now)
                return
        if endpoint.is_full:
            self._give_up("unavailable")
            return
        self._sent = False
        self._waiting = True
        timeouts = self._forward.timeouts
        self._queue_until = min(now + timeouts.first_byte, self._total_at)
        self.deadline = min(now + timeouts.connect, self._queue_until)
        endpoint.queue.enter(self, timeouts.connect, new=fresh)

    def _wait_on(self) -> None:
        """Waits on for a connection while others get some: a crowd is no dead endpoint."""
        now, patience = self._upstream.now(), self._forward.timeouts.connect
        endpoint = self._endpoint
        moves = endpoint is not None and now - endpoint.queue.moved_at <= patience
        if not moves or now >= self._queue_until:
            self._attempt_failed("connect_timeout")
        else:
            self.deadline = min(now + patience, self._queue_until)

    def _send_on(self, connection: UpstreamConnection, endpoint: Endpoint, now: float) -> None:
        self._connection = connection
        self._sent = True
        body, forward = self._body, self._forward
        self.deadline = _NEVER
        if body.complete:
            self.deadline = min(now + forward.timeouts.first_byte, self._total_at)
        method = self._exchange.method
        request = request_bytes(
            method, forward, self._exchange.id_line, endpoint.authority, body, self._websocket
        )
        connection.begin(self, method, request, body.complete)
        if not body.complete and self._connection is connection:
            self._receiver.go_on()

    def _attempt_failed(self, outcome: str, *, reused: bool = False) -> None:
        """No byte of an answer has come: tries again, or gives up."""
        endpoint = self._endpoint
        if endpoint is not None:
            self._tried.append(endpoint)
        self._failures += not reused
        if not self._may_retry(outcome, reused):
            self._give_up(outcome)
            return
        if not reused:
            self._upstream.failed(endpoint)
        self._leave_endpoint()
        self._attempt(self._upstream.now(), fresh=reused)

    def _asks_another_after(self, status: int, finished: bool) -> bool:
        """Whether this answer is passed over, as another endpoint may have a better one."""
        self._upstream.answered_in_vain(self._endpoint)
        connection = self._connection
        if finished:
            # It is back in the pool, and nothing that becomes of this call is its business.
            self._connection = None
        if status in PASSING and self._ask_another("error_status"):
            return True
        self._connection = connection
        return False

    def _ask_another(self, outcome: str) -> bool:
        """Leaves an endpoint that does not do its work for one that may, if there is any."""
        endpoint = self._endpoint
        if endpoint is None or not self._upstream.has_better([*self._tried, endpoint]):
            return False
        self._failures += 1
        if not self._may_retry(outcome, reused=False):
            return False
        self._tried.append(endpoint)
        if outcome == "timeout":
            self._upstream.failed(endpoint)
        self._leave_endpoint()
        self._attempt(self._upstream.now())
        return True

    def _may_retry(self, outcome: str, reused: bool) -> bool:
        if self._sent and not (self._body.complete and self.is_repeatable):
            return False
        if self._upstream.now() >= self._total_at:
            return False
        if reused:
            return True
        if self._failures > self._forward.retries:
            return False
        if outcome in UNREACHABLE:
            return self._upstream.has_other(self._tried)
        # Only what has reached a service adds to its load, so only that needs a budget.
        taken = self._upstream.budget.take(len(self._upstream.calls))
        self._budgeted += taken
        return taken

    # The end.

    def _wait_for_more(self, now: float) -> None:
        self.deadline = min(now + self._forward.timeouts.idle, self._total_at)

    def _give_up(self, outcome: str) -> None:
        """The upstream has failed, before its answer or in the middle of it."""
        exchange = self._exchange
        exchange.outcome = outcome
        if exchange.upstream_seconds is None:
            exchange.upstream_seconds = perf_counter() - self._started
        # A stream without an end that nobody uses may be its client's doing as well.
        silent = outcome == "timeout" and self._answering and self._total_at == _NEVER
        if outcome != "unavailable" and not silent:
            self._upstream.failed(self._endpoint)
        self._end()
        self._receiver.fail(error_of(outcome))

    def _leave_endpoint(self) -> None:
        if self._endpoint is not None:
            self._endpoint.active -= 1
            if self._waiting:
                self._waiting = False
                self._endpoint.queue.leave(self)
            self._endpoint = None
        if self._connection is not None:
            self._connection.drop()
            self._connection = None

    def _end(self) -> None:
        if self._done:
            return
        self._done = True
        self.deadline = _NEVER
        self._leave_endpoint()
        self._upstream.calls.discard(self)
        if self._budgeted:
            self._upstream.budget.give_back(self._budgeted)
