"""The policy side as the data plane sees it: admits, refuses, judges answers, books the end."""

from __future__ import annotations

import traceback
from collections.abc import Coroutine
from http import HTTPStatus
from typing import Any

import structlog

from services.gateway import compress, normalize, pipeline, provenance
from services.gateway.exchange import Answer, Decide, Decision, Exchange, Headers, Inspect, Relay
from services.gateway.headers import answer_headers, kept_private
from services.gateway.observe import Observer
from services.gateway.pipeline import Gateway
from services.gateway.routes import split_version
from services.gateway.upstream.head import ResponseHead
from shared.errors import ApiError, UpstreamError, render

log = structlog.get_logger(__name__)


class GatewayPolicy:
    """Implements `exchange.Policy`."""

    def __init__(self, gateway: Gateway, observer: Observer, *, development: bool = False) -> None:
        self._gateway = gateway
        self._development = development
        self._observer = observer
        self._security = gateway.security
        self._under_way = 0
        observer.in_flight.set_function(lambda: self._under_way)

    def admit(self, exchange: Exchange) -> Coroutine[Any, Any, Decision]:
        self._under_way += 1
        return pipeline.admit(exchange, self._gateway)

    def readmit(self, exchange: Exchange, decide: Decide) -> bool:
        try:
            return pipeline.readmit(exchange, self._gateway, decide)
        finally:
            # Refused or not, it is under way if it has a name.
            if exchange.request_id:
                self._under_way += 1

    def refuse(self, exchange: Exchange, error: ApiError) -> Answer:
        if exchange.visit is not None and self._gateway.cache.covers(exchange, error.status):
            return self._stand_in(exchange)
        return self._render(exchange, error, provenance.of_failure(exchange, error))

    def receive(self, exchange: Exchange, head: ResponseHead) -> Relay | Inspect:
        status, dressing = head.status, exchange.dressing
        if dressing is not None:
            known = head.relayed
            if known is None:
                known = head.relayed = normalize.relayed_lines(status, head.headers)
            if known:
                return Relay(status, [], known + dressing + exchange.lines)
        route = exchange.route
        assert route is not None
        if route.cache and self._gateway.cache.covers(exchange, status):
            return Inspect(normalize.MAX_ERROR_BODY)
        if normalize.is_to_inspect(route, status, head.headers):
            return Inspect(normalize.MAX_ERROR_BODY)
        own, encoder = self._relayed(exchange, status, head.headers), None
        if route.cache:
            if self._gateway.cache.wants(exchange, status, own, head.length):
                return Inspect(head.length or 0)
            own = self._gateway.cache.told(exchange, own)
        if route.compress:
            own, encoder = compress.encoded(exchange, status, own, head.length)
        return Relay(status, answer_headers(exchange, self._security, own), exchange.lines, encoder)

    def rewrite(
        self, exchange: Exchange, status: int, headers: Headers, body: bytes, complete: bool
    ) -> Answer:
        if status < HTTPStatus.BAD_REQUEST:
            return self._stored(exchange, status, headers, body, complete=complete)
        if exchange.visit is not None and self._gateway.cache.covers(exchange, status):
            return self._stand_in(exchange)
        error = normalize.foreign_error(exchange, status, headers, body, complete=complete)
        if error is None:
            own = self._relayed(exchange, status, headers)
            return Answer(
                status, answer_headers(exchange, self._security, own), body, exchange.lines
            )
        answer = self._render(exchange, error, provenance.of_status(status))
        answer.headers += normalize.kept_beside(headers)
        return answer

    def finish(self, exchange: Exchange, status: int, bytes_in: int, bytes_out: int) -> None:
        if exchange.request_id:
            self._under_way -= 1
        if exchange.visit is not None:
            self._gateway.cache.over(exchange)
        self._observer.finished(exchange, status, bytes_in, bytes_out)

    def _stored(
        self, exchange: Exchange, status: int, headers: Headers, body: bytes, *, complete: bool
    ) -> Answer:
        """An answer that the cache wanted whole; nothing of it is out where the service failed."""
        if not complete:
            return self.refuse(exchange, UpstreamError())
        own = self._relayed(exchange, status, headers)
        if status == HTTPStatus.NOT_MODIFIED:
            good = self._gateway.cache.confirmed(exchange, own)
            if good is None:
                return self.refuse(exchange, UpstreamError())
            return pipeline.dress(good, exchange, self._security)
        own = self._gateway.cache.keep(exchange, own, body)
        return Answer(status, answer_headers(exchange, self._security, own), body, exchange.lines)

    def _stand_in(self, exchange: Exchange) -> Answer:
        return pipeline.dress(self._gateway.cache.stand_in(exchange), exchange, self._security)

    def _relayed(self, exchange: Exchange, status: int, headers: Headers) -> Headers:
        own = normalize.relayed(exchange, status, headers)
        return own if exchange.csrf_key is None else kept_private(own)

    def _render(self, exchange: Exchange, error: ApiError, proxy_status: bytes | None) -> Answer:
        gateway = self._gateway
        if not exchange.request_id:
            # Refused by the data plane before the pipeline saw it.
            self._under_way += 1
            pipeline.name(exchange)
            gateway.clients.locate(exchange)
            split_version(exchange)
            gateway.rules.cors.welcome(exchange)
        gateway.rules.versions.courtesy(exchange)
        if error.__cause__ is not None and error.status == HTTPStatus.INTERNAL_SERVER_ERROR:
            self._confess(exchange, error, error.__cause__)
        rendered = render(error, request_id=exchange.request_id, accept=exchange.accept)
        own = [(key.lower().encode(), value.encode()) for key, value in rendered.headers.items()]
        own.append((b"vary", b"Accept"))
        if proxy_status is not None:
            own.append((b"proxy-status", proxy_status))
        headers = answer_headers(exchange, self._security, own)
        return Answer(rendered.status, headers, rendered.body, exchange.lines)

    def _confess(self, exchange: Exchange, error: ApiError, cause: BaseException) -> None:
        """A fault of our own: the log has all of it, the client what his environment may see."""
        log.error(
            "unhandled_exception",
            request_id=exchange.request_id,
            route=exchange.template,
            exc_info=cause,
        )
        if self._development:
            error.details["exception"] = repr(cause)
            error.details["traceback"] = "".join(traceback.format_exception(cause))
