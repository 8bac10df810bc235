"""What the gateway itself adds to the OpenAPI document: its pages, its errors, its fields."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from services.gateway.config import Access
from shared import errors
from shared.endpoints import Credential
from shared.errors import ApiError
from shared.openapi import error_response, security

# What any request through the gateway can meet before or beside the service.
ON_EVERY_OPERATION: tuple[type[ApiError], ...] = (
    errors.BadRequest,
    errors.UnsupportedVersion,
    errors.VersionConflict,
    errors.NotFound,
    errors.MethodNotAllowed,
    errors.RequestTimeout,
    errors.VersionRetired,
    errors.LengthRequired,
    errors.PayloadTooLarge,
    errors.UriTooLong,
    errors.RateLimited,
    errors.HeadersTooLarge,
    errors.InternalError,
    errors.UpstreamError,
    errors.ServiceUnavailable,
    errors.UpstreamTimeout,
)

HEADERS: dict[str, dict[str, Any]] = {
    "X-RateLimit-Limit": {
        "description": "Requests that the tightest policy allows per period.",
        "schema": {"type": "integer"},
    },
    "X-RateLimit-Remaining": {
        "description": "Requests that it has left.",
        "schema": {"type": "integer"},
    },
    "X-RateLimit-Reset": {
        "description": "When it is whole again, or when to come again; epoch seconds.",
        "schema": {"type": "integer"},
    },
    "RateLimit-Policy": {
        "description": "All policies of the request (draft-ietf-httpapi-ratelimit-headers-11).",
        "schema": {"type": "string"},
    },
    "RateLimit": {
        "description": "What is left of each policy, and for how many seconds.",
        "schema": {"type": "string"},
    },
    "API-Version": {
        "description": "The version that answered.",
        "schema": {"type": "string"},
    },
    "X-Request-ID": {
        "description": "Names the request, here and in every log.",
        "schema": {"type": "string"},
    },
    "Retry-After": {
        "description": "Seconds to wait before coming again.",
        "schema": {"type": "integer"},
    },
}
_ALWAYS = tuple(name for name in HEADERS if name != "Retry-After")


def complete(operation: dict[str, Any], access: Access) -> None:
    """Adds the gateway's own answers to an operation, and its header fields to every answer."""
    raised: dict[int, list[str]] = {}
    added = [*ON_EVERY_OPERATION]
    if access is not Access.NONE:
        added.append(errors.Unauthorized)
    for error in added:
        raised.setdefault(error.status, []).append(error.code)
    responses = operation.setdefault("responses", {})
    for status, codes in raised.items():
        responses.setdefault(str(status), error_response(status, codes))
    for status_text, response in responses.items():
        if "$ref" in response:
            continue
        headers = response.setdefault("headers", {})
        for name in _ALWAYS:
            headers.setdefault(name, {"$ref": f"#/components/headers/{name}"})
        if status_text in ("429", "503"):
            headers.setdefault("Retry-After", {"$ref": "#/components/headers/Retry-After"})


def own_paths(version: str) -> dict[str, Any]:
    """The gateway's pages as Path Item Objects."""
    return {
        "/health": _page("health", "Whether each service answers", _HEALTH, other=503),
        "/api/versions": _page("listVersions", "The API's versions and their dates", _VERSIONS),
        "/api/errors": _page("listErrors", "Every error code", _ERRORS),
        "/api/rate-limit-status": _page(
            "rateLimitStatus",
            "The caller's rate limit policies; costs nothing",
            _STATUS,
            credentials=tuple(Credential),
        ),
        f"/api/{version}/openapi.json": _page(
            "openapiDocument", "This document", {"type": "object"}
        ),
    }


def _page(
    name: str,
    summary: str,
    schema: dict[str, Any],
    *,
    other: int | None = None,
    credentials: tuple[Credential, ...] = (),
) -> dict[str, Any]:
    good = {"description": summary, "content": {"application/json": {"schema": schema}}}
    operation: dict[str, Any] = {
        "operationId": name,
        "summary": summary,
        "tags": ["gateway"],
        **security(credentials),
        "responses": {"200": good},
    }
    if credentials:
        # Nobody has to show one.
        operation["security"].append({})
    if other is not None:
        phrase = HTTPStatus(other).phrase
        operation["responses"][str(other)] = {**good, "description": f"{phrase}: {summary}"}
    return {"get": operation}


def _object(**properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": sorted(properties),
        "additionalProperties": False,
    }


def _list(of: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": of}


_TEXT = {"type": "string"}
_NUMBER = {"type": "integer"}
_TIME = {"type": ["string", "null"], "format": "date-time"}
_HEALTHY = {"type": "string", "enum": ["healthy", "degraded", "unhealthy"]}
_STANDING = _object(
    policy=_TEXT, limit=_NUMBER, period_seconds=_NUMBER, remaining=_NUMBER, reset_seconds=_NUMBER
)
_HEALTH = _object(status=_HEALTHY, services={"type": "object", "additionalProperties": _HEALTHY})
_VERSIONS = _object(
    default=_TEXT,
    versions=_list(
        _object(
            version=_TEXT,
            status=_TEXT,
            since=_TIME,
            deprecated_at=_TIME,
            sunset_at=_TIME,
            successor={"type": ["string", "null"]},
            brownouts=_list(_object(**{"from": _TIME, "until": _TIME})),
            openapi=_TEXT,
        )
    ),
)
_ERRORS = _object(errors=_list(_object(code=_TEXT, status=_NUMBER, title=_TEXT, type=_TEXT)))
_STATUS = _object(
    tier=_TEXT, key=_TEXT, policies=_list(_STANDING), shadow_policies=_list(_STANDING)
)
