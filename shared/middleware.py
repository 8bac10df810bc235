"""What every request of auth and tasks passes, outermost first: id, log, errors, authenticate."""

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
async def request_id(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Names the request; the answer, every error and every log line carry the name."""
    name = accept_request_id(request.headers.get(HEADER))
    request[REQUEST_ID] = name
    mark = current_request_id.set(name)
    try:
        return await handler(request)
    finally:
        current_request_id.reset(mark)


async def put_request_id(request: web.Request, answer: web.StreamResponse) -> None:
    """Response signal: the id is on streams and refusals alike."""
    if REQUEST_ID in request:
        answer.headers[HEADER] = request[REQUEST_ID]


@web.middleware
async def access(request: web.Request, handler: Handler) -> web.StreamResponse:
    """One log line and one observation per request, by route template and never by path."""
    metrics = request.app[METRICS]
    began = time.perf_counter()
    status = CLIENT_LEFT
    metrics.in_flight.inc()
    try:
        answer = await handler(request)
        status = answer.status
        return answer
    finally:
        seconds = time.perf_counter() - began
        metrics.in_flight.dec()
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
                "user_id": str(principal.user_id) if principal else None,
            }
        )


def route_template(request: web.Request) -> str:
    """The matched route as it was declared, or `unmatched`: a bounded set."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "unmatched"


@web.middleware
async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turns whatever is raised into the contract's error shape."""
    try:
        return await handler(request)
    except ApiError as error:
        return _answer(request, error)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return _answer(request, of_router(error))
    except web.RequestPayloadError:
        return _answer(request, BadRequest("The request body is not framed as announced"))
    except Exception as error:
        if isinstance(error, ConnectionError) and _client_left(request):
            # There is nobody to answer.
            raise
        log.exception("unhandled_exception", route=route_template(request))
        details = {}
        if request.app.get(DEVELOPMENT, False):
            details = {
                "exception": repr(error),
                "traceback": "".join(traceback.format_exception(error)),
            }
        return _answer(request, InternalError(details=details))


def _client_left(request: web.Request) -> bool:
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


@web.middleware
async def authenticate(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Verifies a bearer token when one is there. Who may call what is the Endpoint's matter."""
    authorization = request.headers.get("Authorization")
    if authorization is not None:
        verifier = request.app[VERIFIER]
        token = bearer_token(authorization)
        request[PRINCIPAL] = verifier.cached(token) or await verifier.verify(token)
    return await handler(request)
