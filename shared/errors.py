"""The error contract: one class per code, one renderer, two wire shapes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import quote

from shared.accept import preference
from shared.json_text import dump_anything

JSON = "application/json"
PROBLEM_JSON = "application/problem+json"

# RFC 9457 `type` of an error is its entry in the catalogue that the gateway serves.
CATALOGUE_PATH = "/api/errors"


class ApiError(Exception):
    """A refusal that a client is meant to read.

    `status`, `code` and `message` belong to the class; `details` (always an object), `headers` and
    a sharper message belong to the instance.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "INTERNAL_ERROR"
    message: ClassVar[str] = "Internal server error"

    def __init__(
        self,
        message: str | None = None,
        *,
        details: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message or self.message)
        self.text = message or self.message
        self.details: dict[str, Any] = dict(details or {})
        self.headers: dict[str, str] = dict(headers or {})


class InternalError(ApiError):
    """Something that we did wrong; the cause is in the log under the request id."""


class BadRequest(ApiError):
    status, code, message = 400, "BAD_REQUEST", "Malformed request"


class UnsupportedVersion(ApiError):
    status, code, message = 400, "UNSUPPORTED_VERSION", "Unsupported API version"


class VersionConflict(ApiError):
    status, code, message = 400, "VERSION_CONFLICT", "The request names two API versions"


class Unauthorized(ApiError):
    """RFC 9110 section 11.6.1: a 401 always carries a challenge."""

    status, code, message = 401, "UNAUTHORIZED", "Authentication required"

    def __init__(
        self,
        message: str | None = None,
        *,
        details: Mapping[str, Any] | None = None,
        challenge: str = 'Bearer realm="tasklane"',
    ) -> None:
        super().__init__(message, details=details, headers={"WWW-Authenticate": challenge})


class InvalidToken(Unauthorized):
    """A bearer token was given and is not good (RFC 6750 section 3.1)."""

    def __init__(self, message: str = "The access token is invalid or has expired") -> None:
        super().__init__(message, challenge='Bearer realm="tasklane", error="invalid_token"')


class Forbidden(ApiError):
    status, code, message = 403, "FORBIDDEN", "You may not do this"


class CsrfFailed(ApiError):
    status, code, message = 403, "CSRF_FAILED", "Missing or wrong CSRF token"


class NotFound(ApiError):
    status, code, message = 404, "NOT_FOUND", "Not found"


class MethodNotAllowed(ApiError):
    """RFC 9110 section 15.5.6: a 405 names the methods that the resource has."""

    status, code, message = 405, "METHOD_NOT_ALLOWED", "Method not allowed"

    def __init__(self, allowed: list[str]) -> None:
        super().__init__(headers={"Allow": ", ".join(sorted(allowed))})


class NotAcceptable(ApiError):
    status, code, message = 406, "NOT_ACCEPTABLE", "None of the accepted media types is available"


class RequestTimeout(ApiError):
    status, code, message = 408, "REQUEST_TIMEOUT", "The request did not arrive in time"


class Conflict(ApiError):
    status, code, message = 409, "CONFLICT", "The request conflicts with the current state"


class VersionRetired(ApiError):
    status, code, message = 410, "VERSION_RETIRED", "This API version has been retired"


class Gone(ApiError):
    """What was asked for existed and is not kept any longer."""

    status, code, message = 410, "GONE", "No longer available"


class LengthRequired(ApiError):
    status, code, message = 411, "LENGTH_REQUIRED", "A Content-Length is required"


class PreconditionFailed(ApiError):
    status, code, message = 412, "PRECONDITION_FAILED", "The resource has changed since you read it"


class PayloadTooLarge(ApiError):
    status, code, message = 413, "PAYLOAD_TOO_LARGE", "The request body is too large"


class UriTooLong(ApiError):
    status, code, message = 414, "URI_TOO_LONG", "The request target is too long"


class UnsupportedMediaType(ApiError):
    status, code, message = 415, "UNSUPPORTED_MEDIA_TYPE", "Unsupported media type"


class ValidationFailed(ApiError):
    """`details` maps a field (nested with dots and indexes as keys) to its list of messages."""

    status, code, message = 422, "VALIDATION_ERROR", "Invalid input data"


class IdempotencyMismatch(ApiError):
    status, code = 422, "IDEMPOTENCY_MISMATCH"
    message = "This idempotency key was used with another request"


class AccountLocked(ApiError):
    status, code, message = 423, "ACCOUNT_LOCKED", "Too many failed attempts"

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__(headers={"Retry-After": str(max(1, retry_after_seconds))})


class PreconditionRequired(ApiError):
    status, code, message = 428, "PRECONDITION_REQUIRED", "This request needs an If-Match header"


class RateLimited(ApiError):
    status, code, message = 429, "RATE_LIMITED", "Too many requests"

    def __init__(
        self, retry_after_seconds: int, *, details: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(details=details, headers={"Retry-After": str(max(1, retry_after_seconds))})


class HeadersTooLarge(ApiError):
    status, code, message = 431, "HEADERS_TOO_LARGE", "The request headers are too large"


class UpstreamError(ApiError):
    status, code, message = 502, "UPSTREAM_ERROR", "The service gave no usable answer"


class ServiceUnavailable(ApiError):
    status, code, message = 503, "SERVICE_UNAVAILABLE", "The service is not available right now"

    def __init__(
        self,
        message: str | None = None,
        *,
        details: Mapping[str, Any] | None = None,
        retry_after_seconds: int = 1,
    ) -> None:
        super().__init__(
            message, details=details, headers={"Retry-After": str(max(1, retry_after_seconds))}
        )


class UpstreamTimeout(ApiError):
    status, code, message = 504, "UPSTREAM_TIMEOUT", "The service did not answer in time"


def catalogue() -> list[type[ApiError]]:
    """Every error class that owns a code, by status and code: the contract's list."""

    def walk(cls: type[ApiError]) -> Iterator[type[ApiError]]:
        yield cls
        for child in cls.__subclasses__():
            yield from walk(child)

    by_code: dict[str, type[ApiError]] = {}
    for cls in walk(ApiError):
        by_code.setdefault(cls.code, cls)
    return sorted(by_code.values(), key=lambda cls: (cls.status, cls.code))


@dataclass(frozen=True, slots=True)
class RenderedError:
    """An error as it goes on the wire; `headers` holds the content type and the error's own."""

    status: int
    headers: dict[str, str]
    body: bytes


def wants_problem(accept: str | None) -> bool:
    """Whether the client asked for RFC 9457 at least as much as for plain JSON."""
    if not accept or PROBLEM_JSON not in accept.lower():
        return False
    asked = preference(accept, PROBLEM_JSON, exact=True)
    return asked > 0 and asked >= preference(accept, JSON, exact=True)


def render(error: ApiError, *, request_id: str, accept: str | None) -> RenderedError:
    """Renders `error` as the house's envelope, or as a problem document when asked for."""
    if wants_problem(accept):
        content_type = PROBLEM_JSON
        body: dict[str, Any] = {
            "type": f"{CATALOGUE_PATH}#{error.code}",
            "title": type(error).message,
            "status": error.status,
            "detail": error.text,
            "instance": f"urn:tasklane:request:{quote(request_id, safe='')}",
            "code": error.code,
            "errors": error.details,
        }
    else:
        content_type = JSON
        body = {
            "error": {
                "code": error.code,
                "message": error.text,
                "details": error.details,
                "request_id": request_id,
            }
        }
    headers = {"Content-Type": content_type, "Cache-Control": "no-store", **error.headers}
    return RenderedError(error.status, headers, dump_anything(body))
