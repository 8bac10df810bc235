"""aiohttp's server, with our error shape for what its parser refuses before any middleware."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus

import structlog
from aiohttp import web
from aiohttp.http_exceptions import LineTooLong
from aiohttp.web_protocol import RequestHandler

from shared.errors import (
    ApiError,
    BadRequest,
    HeadersTooLarge,
    InternalError,
    MethodNotAllowed,
    PayloadTooLarge,
    RequestTimeout,
    UriTooLong,
    render,
)
from shared.request_id import HEADER, new_request_id

log = structlog.get_logger(__name__)

# More than the gateway lets through: what is too long is refused there. They differ because the
# limit is all that aiohttp's error says about where it was exceeded.
MAX_TARGET_BYTES = 24_576
MAX_FIELD_BYTES = 32_768

Handle = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
# Makes what handles requests out of the application's own way of doing so.
SHORTCUT: web.AppKey[Callable[[Handle], Handle]] = web.AppKey("shortcut")


class ApiRequestHandler(RequestHandler):
    """Answers malformed HTTP in the contract's shape; never echoes the offending bytes."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if request.writer.output_size > 0 or isinstance(exc, ConnectionError):
            raise ConnectionError("the answer has begun, or nobody is there to read it") from exc
        error = refusal(status, exc)
        if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            log.error("request_failed_outside_handlers", exc_info=exc)
        request_id = new_request_id()
        rendered = render(error, request_id=request_id, accept=None)
        answer = web.Response(
            status=rendered.status,
            body=rendered.body,
            headers={**rendered.headers, HEADER: request_id},
        )
        answer.force_close()
        return answer

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        if isinstance(resp, web.HTTPException) and resp.status >= HTTPStatus.BAD_REQUEST:
            # aiohttp judges some headers, such as Expect, before any middleware.
            resp = self.handle_error(request, resp.status, resp)
        if isinstance(self._manager, ApiServer) and self._manager.is_leaving():
            # A proxy keeps the connection else, and may send on it in the moment it is closed.
            resp.force_close()
        return await super().finish_response(request, resp, start_time)


def refusal(status: int, cause: BaseException | None = None) -> ApiError:
    """Our error for one that aiohttp raised with `status`."""
    if isinstance(cause, LineTooLong):
        _, limit, _ = cause.args
        return UriTooLong() if limit == MAX_TARGET_BYTES else HeadersTooLarge()
    match status:
        case 405:
            return MethodNotAllowed([])
        case 408:
            return RequestTimeout()
        case 413:
            return PayloadTooLarge()
        case _ if status < HTTPStatus.INTERNAL_SERVER_ERROR:
            return BadRequest("The request is not well-formed HTTP")
        case _:
            return InternalError()


class ApiServer(web.Server):
    """Makes our request handlers. While it `is_leaving`, each answer is its connection's last."""

    is_leaving: Callable[[], bool] = staticmethod(lambda: False)

    def __call__(self) -> ApiRequestHandler:
        return ApiRequestHandler(self, loop=self._loop, **self._kwargs)


class ApiRunner(web.AppRunner):
    """An AppRunner whose connections are served by `ApiRequestHandler`."""

    def __init__(
        self,
        app: web.Application,
        *,
        shutdown_timeout: float,
        is_leaving: Callable[[], bool] = lambda: False,
    ) -> None:
        self._is_leaving = is_leaving
        super().__init__(
            app,
            access_log=None,
            # A body is taken as it was sent: nobody unpacks a bomb for a handler to find.
            auto_decompress=False,
            handler_cancellation=False,
            # Longer than the gateway keeps an idle connection, so that it closes first.
            keepalive_timeout=90.0,
            max_line_size=MAX_TARGET_BYTES,
            max_field_size=MAX_FIELD_BYTES,
            shutdown_timeout=shutdown_timeout,
        )

    async def _make_server(self) -> web.Server:
        plain = await super()._make_server()
        factory = self.app.get(SHORTCUT)
        handle = plain.request_handler if factory is None else factory(plain.request_handler)
        server = ApiServer(
            handle,
            request_factory=plain.request_factory,
            loop=asyncio.get_running_loop(),
            **plain._kwargs,
        )
        server.is_leaving = self._is_leaving
        return server
