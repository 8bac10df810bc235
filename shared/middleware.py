"""What every request of auth and tasks passes: its name, authentication, errors, log, metrics."""

from __future__ import annotations

import time
import traceback
from collections.abc import Awaitable, Callable

import structlog
from aiohttp import web

from shared.errors import (
    ApiError,
    BadRequest,
    InternalError,
    MethodNotAllowed,
    NotFound,
    render,
)
from shared.identity import AccessTokenVerifier, Principal, bearer_token
from shared.logs import AccessLog
from shared.metrics import HttpMetrics
from shared.request_id import HEADER, accept_request_id, current_request_id
from shared.server import refusal

log = structlog.get_logger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

ACCESS_LOG: web.AppKey[AccessLog] = web.AppKey("access_log", AccessLog)
METRICS: web.AppKey[HttpMetrics] = web.AppKey("metrics", HttpMetrics)
VERIFIER: web.AppKey[AccessTokenVerifier] = web.AppKey("verifier", AccessTokenVerifier)
DEVELOPMENT: web.AppKey[bool] = web.AppKey("development", bool)

REQUEST_ID: web.RequestKey[str] = web.RequestKey("request_id", str)
PRINCIPAL: web.RequestKey[Principal] = web.RequestKey("principal", Principal)

CLIENT_LEFT = 499  # nginx's number for a client that hung up before its answer


@web.middleware
async def served(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Around every request of auth and tasks, in one frame, as each more is paid by all of them.

    It names the request, verifies a bearer token when one is there (who may call what is the
    Endpoint's matter), turns what is raised into the contract's error shape, and books the request
    by route template, never by path.
    """
    began = time.perf_counter()
    _name(request)
    metrics = request.app[METRICS]
    status = CLIENT_LEFT
    metrics.under_way += 1
    try:
        try:
            authorization = request.headers.get("Authorization")
            if authorization is not None:
                verifier = request.app[VERIFIER]
                token = bearer_token(authorization)
                request[PRINCIPAL] = verifier.cached(token) or await verifier.verify(token)
            answer = await handler(request)
        except Exception as error:  # noqa: BLE001 - the boundary of errors
            answer = _instead(request, error)
        status = answer.status
        return answer
    finally:
        metrics.under_way -= 1
        _book(request, metrics, status, time.perf_counter() - began)


@web.middleware
async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Around every request of an ops port: its name, and the contract's error shape."""
    _name(request)
    try:
        return await handler(request)
    except Exception as error:  # noqa: BLE001 - the boundary of errors
        return _instead(request, error)


async def put_request_id(request: web.Request, answer: web.StreamResponse) -> None:
    """Response signal: the id is on streams and refusals alike."""
    if REQUEST_ID in request:
        answer.headers[HEADER] = request[REQUEST_ID]


def route_template(request: web.Request) -> str:
    """The matched route as it was declared, or `unmatched`: a bounded set."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "unmatched"


def _name(request: web.Request) -> None:
    """The answer, every error and every log line carry the name."""
    name = accept_request_id(request.headers.get(HEADER))
    request[REQUEST_ID] = name
    # aiohttp runs each request in a task of its own, so nothing has to be put back.
    current_request_id.set(name)


def _book(request: web.Request, metrics: HttpMetrics, status: int, seconds: float) -> None:
    """One log line and one observation."""
    route = route_template(request)
    metrics.observe(request.method, route, status, seconds)
    principal = request.get(PRINCIPAL)
    request.app[ACCESS_LOG].write(
        {
            "request_id": request[REQUEST_ID],
            "method": request.method,
            "route": route,
            "path": request.rel_url.raw_path,
            "status": status,
            "duration_ms": round(seconds * 1000, 3),
            "user_id": principal.user_id if principal else None,
        }
    )


def _instead(request: web.Request, error: Exception) -> web.StreamResponse:
    """The answer to a request that failed; raises what is not to be answered."""
    match error:
        case ApiError():
            return _answer(request, error)
        case ConnectionError() if client_left(request):
            # Nobody reads it. Raised instead, aiohttp keeps the error in a cycle with its task: all
            # that the frames of the traceback hold stays until garbage is collected.
            return web.Response(status=CLIENT_LEFT)
        case web.HTTPException():
            if error.status < 400:
                raise error
            return _answer(request, of_router(error))
        case web.RequestPayloadError():
            return _answer(request, BadRequest("The request body is not framed as announced"))
    log.error("unhandled_exception", route=route_template(request), exc_info=error)
    details = {}
    if request.app.get(DEVELOPMENT, False):
        details = {
            "exception": repr(error),
            "traceback": "".join(traceback.format_exception(error)),
        }
    return _answer(request, InternalError(details=details))


def client_left(request: web.Request) -> bool:
    """Whether nobody is there any more to be answered; handlers run on then."""
    return request.transport is None or request.transport.is_closing()


def of_router(error: web.HTTPException) -> ApiError:
    """Our error for one of aiohttp's own: no route, wrong method, and what its parser found."""
    if isinstance(error, web.HTTPNotFound):
        return NotFound()
    if isinstance(error, web.HTTPMethodNotAllowed):
        return MethodNotAllowed(sorted(error.allowed_methods))
    return refusal(error.status)


def _answer(request: web.Request, error: ApiError) -> web.StreamResponse:
    if request.writer.output_size > 0:
        # The answer has begun. A second one in its place would leave the client waiting for the
        # rest of the first, so the transfer is broken off instead.
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError("the answer broke off") from error
    rendered = render(
        error,
        request_id=request.get(REQUEST_ID, ""),
        accept=request.headers.get("Accept"),
    )
    return web.Response(status=rendered.status, body=rendered.body, headers=rendered.headers)
