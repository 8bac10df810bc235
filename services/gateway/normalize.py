"""The normalise stage: upstream answers in our error shape, whatever the upstream made of them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import orjson
import structlog

from services.gateway.config import Route
from services.gateway.exchange import Exchange, Headers
from services.gateway.framing import rendered
from services.gateway.headers import NOT_RELAYED
from shared.errors import (
    PROBLEM_JSON,
    AccountLocked,
    ApiError,
    BadRequest,
    Conflict,
    Forbidden,
    InternalError,
    LengthRequired,
    MethodNotAllowed,
    NotAcceptable,
    NotFound,
    PayloadTooLarge,
    PreconditionFailed,
    PreconditionRequired,
    RateLimited,
    RequestTimeout,
    ServiceUnavailable,
    Unauthorized,
    UnsupportedMediaType,
    UpstreamError,
    UpstreamTimeout,
    UriTooLong,
    ValidationFailed,
)

log = structlog.get_logger(__name__)

# An error answer longer than this is not one of ours.
MAX_ERROR_BODY = 65_536
_LOGGED_BYTES = 500

_BY_STATUS: dict[int, Callable[[], ApiError]] = {
    error.status: error
    for error in (
        BadRequest, Unauthorized, Forbidden, NotFound, NotAcceptable, RequestTimeout, Conflict,
        LengthRequired, PreconditionFailed, PayloadTooLarge, UriTooLong,
        UnsupportedMediaType, ValidationFailed, PreconditionRequired, InternalError,
        UpstreamError, ServiceUnavailable, UpstreamTimeout,
    )
}  # fmt: skip
_BY_STATUS |= {
    MethodNotAllowed.status: lambda: MethodNotAllowed([]),
    AccountLocked.status: lambda: AccountLocked(1),
    RateLimited.status: lambda: RateLimited(1),
}

_SWITCHED = HTTPStatus.SWITCHING_PROTOCOLS
_ADDED_TO = frozenset({b"content-security-policy", b"vary"})
_WITH_LOCATION = frozenset({201, 202, 301, 302, 303, 307, 308})

# What a client needs of an error answer besides its body.
_KEPT_ON_ERRORS = frozenset(
    {b"accept-patch", b"allow", b"link", b"retry-after", b"set-cookie", b"www-authenticate"}
)


def is_to_inspect(route: Route, status: int, headers: Headers) -> bool:
    """Whether an answer is an error whose body may need another shape."""
    return status >= HTTPStatus.BAD_REQUEST and not route.raw_errors and not _is_problem(headers)


def relayed(exchange: Exchange, status: int, headers: Headers) -> Headers:
    """The upstream's fields that pass, with a Location that the client can follow."""
    kept = [field for field in headers if field[0] not in NOT_RELAYED]
    if status in _WITH_LOCATION and exchange.api_version is not None:
        own = b"/%b/" % exchange.api_version.encode()
        for at, (name, value) in enumerate(kept):
            if name == b"location" and value.startswith(own):
                # The service knows its own path, which is ours without /api.
                kept[at] = (name, b"/api" + value)
    return kept


def relayed_lines(status: int, headers: Headers) -> bytes:
    """`relayed` rendered, for an answer on which it does not matter what the request was.

    Empty for any other: an error, one with a Location that may be a service's own path, or one with
    a field that the gateway has something to add to.
    """
    if status >= HTTPStatus.BAD_REQUEST or status == _SWITCHED:
        return b""
    for name, value in headers:
        if name in _ADDED_TO or (name == b"location" and value.startswith(b"/v")):
            return b""
    return rendered([field for field in headers if field[0] not in NOT_RELAYED])


def foreign_error(
    exchange: Exchange, status: int, headers: Headers, body: bytes, *, complete: bool
) -> ApiError | None:
    """None when the answer is in our shape already, else the error that takes its place."""
    encoded = any(name == b"content-encoding" for name, _ in headers)
    if complete and not encoded and _is_envelope(body):
        return None
    # The only place where the service's own words go: the client does not get them.
    level = logging.WARNING if status >= HTTPStatus.INTERNAL_SERVER_ERROR else logging.INFO
    log.log(
        level,
        "upstream_error_replaced",
        request_id=exchange.request_id,
        upstream=exchange.upstream_name,
        status=status,
        complete=complete,
        body=body[:_LOGGED_BYTES].decode("utf-8", "replace"),
    )
    error = error_of(status)
    for name, value in headers:
        if name in _KEPT_ON_ERRORS and name not in (b"link", b"set-cookie"):
            error.headers[name.decode().title()] = value.decode("latin-1")
    return error


def kept_beside(headers: Headers) -> Headers:
    """Fields of a replaced answer that may occur several times and still count."""
    return [field for field in headers if field[0] in (b"link", b"set-cookie")]


def error_of(status: int) -> ApiError:
    """Our error for a status that an upstream gave; one without a code of its own keeps it."""
    make = _BY_STATUS.get(status)
    if make is not None:
        return make()
    if status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return _with_status(BadRequest("The service refused the request"), status)
    return _with_status(InternalError(), status)


def _with_status(error: ApiError, status: int) -> ApiError:
    error.status = status  # type: ignore[misc]  # the one place where a class's status is not ours
    return error


def _is_problem(headers: Headers) -> bool:
    for name, value in headers:
        if name == b"content-type":
            return value.partition(b";")[0].strip().lower() == PROBLEM_JSON.encode()
    return False


def _is_envelope(body: bytes) -> bool:
    """Whether `body` is the contract's error object."""
    try:
        document: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    error = document.get("error") if isinstance(document, dict) and len(document) == 1 else None
    return (
        isinstance(error, dict)
        and isinstance(error.get("code"), str)
        and isinstance(error.get("message"), str)
        and isinstance(error.get("details"), dict)
        and isinstance(error.get("request_id"), str)
    )
