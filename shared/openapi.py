"""Endpoints and their marshmallow schemas as an OpenAPI 3.1 document, by apispec."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from apispec.ext.marshmallow.common import resolve_schema_cls
from marshmallow import Schema

from shared.endpoints import Credential, Endpoint
from shared.errors import (
    JSON,
    PROBLEM_JSON,
    ApiError,
    BadRequest,
    Forbidden,
    InternalError,
    InvalidToken,
    NotAcceptable,
    PayloadTooLarge,
    ServiceUnavailable,
    UnsupportedMediaType,
    ValidationFailed,
)
from shared.fields import Timestamp
from shared.request_id import HEADER
from shared.schemas import ErrorView, JsonArray, ProblemView, View
from shared.version import VERSION

SECURITY_SCHEMES: dict[Credential, dict[str, str]] = {
    Credential.BEARER: {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
    Credential.API_KEY: {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    Credential.COOKIE: {
        "type": "apiKey",
        "in": "cookie",
        "name": "__Host-session",
        "description": "`session` in development. Changes need `X-CSRF-Token` as well.",
    },
}


def document(title: str, version: str, endpoints: Iterable[Endpoint]) -> dict[str, Any]:
    """The OpenAPI document of the endpoints below `/{version}`, with paths as the service has them.

    Raises TypeError when two different schemas share a name.
    """
    named: dict[str, type[Schema]] = {cls.__name__: cls for cls in (ErrorView, ProblemView)}

    def name_of(schema: Any) -> str:
        cls = resolve_schema_cls(schema)
        if not isinstance(cls, type) or named.setdefault(cls.__name__, cls) is not cls:
            raise TypeError(f"two schemas share the name of {schema!r}")
        return cls.__name__

    plugin = MarshmallowPlugin(schema_name_resolver=name_of)
    spec = APISpec(title, VERSION, "3.1.0", plugins=[plugin])
    plugin.map_to_openapi_type(Timestamp, "string", "date-time")  # type: ignore[no-untyped-call]
    for credential, scheme in SECURITY_SCHEMES.items():
        spec.components.security_scheme(credential.value, scheme)
    for schema in (ErrorView, ProblemView):
        spec.components.schema(schema.__name__, schema=schema)
    for endpoint in endpoints:
        if endpoint.path.startswith(f"/{version}/"):
            spec.path(endpoint.path, operations={endpoint.method.lower(): operation(endpoint)})
    page: dict[str, Any] = spec.to_dict()
    for name, component in page["components"]["schemas"].items():
        cls = named[name]
        if issubclass(cls, View):
            component["required"] = sorted(set(component.get("properties", {})) - cls.optional)
    return page


def operation(endpoint: Endpoint) -> dict[str, Any]:
    """One Operation Object; schemas are still classes, which apispec's plugin resolves."""
    shown: dict[str, Any] = {
        "operationId": endpoint.operation_id,
        "summary": endpoint.summary,
        "tags": list(endpoint.tags),
        **security(() if endpoint.permission is None else endpoint.credentials),
        "parameters": [
            {"in": place, "schema": schema}
            for place, schema in (
                ("path", endpoint.path_params),
                ("query", endpoint.query),
                ("header", endpoint.headers),
            )
            if schema is not None
        ],
        "responses": responses(endpoint),
    }
    if endpoint.description:
        shown["description"] = endpoint.description
    if endpoint.body is not None:
        body = endpoint.body
        content: dict[str, Any] = {
            "schema": body.json_schema if isinstance(body, JsonArray) else body
        }
        if endpoint.body_example is not None:
            content["example"] = endpoint.body_example
        shown["requestBody"] = {
            "required": endpoint.body_required,
            "content": {media: dict(content) for media in endpoint.body_media},
        }
    elif endpoint.streams_body:
        # Any bytes are read line by line, and bad lines are answered one by one: no schema.
        text: dict[str, Any] = {"schema": {}}
        if endpoint.body_example is not None:
            text["example"] = endpoint.body_example
        shown["requestBody"] = {
            "required": True,
            "content": {media: dict(text) for media in endpoint.body_media},
        }
    return shown


def security(credentials: Sequence[Credential]) -> dict[str, Any]:
    """The bearer token as a Security Requirement Object, and `x-credentials`: all that do.

    A requirement for each of them would be an "or", but tools that make requests from the document
    send all that an operation names, and several credentials are refused.
    """
    if not credentials:
        return {"security": []}
    return {
        "security": [{Credential.BEARER.value: []}],
        "x-credentials": [credential.value for credential in credentials],
    }


def responses(endpoint: Endpoint) -> dict[str, Any]:
    """Every status the service itself may answer with, each with its shape."""
    headers = {
        name: {"schema": {"type": "string"}, "description": text}
        for name, text in {HEADER: "Names the request.", **endpoint.answer_headers}.items()
    }
    good: dict[str, Any] = {"description": endpoint.summary, "headers": headers}
    if endpoint.returns is not None:
        shape: Any = endpoint.returns
        if endpoint.also_returns:
            shape = {"anyOf": [endpoint.returns, *endpoint.also_returns]}
        good["content"] = {media: {"schema": shape} for media in endpoint.returns_media}
    elif endpoint.returns_media != (JSON,):
        good["content"] = {
            media: {"schema": {"type": "string"}} for media in endpoint.returns_media
        }
    shown: dict[str, Any] = {str(endpoint.status): good}
    for status, text in endpoint.other_statuses.items():
        shown[str(status)] = {**good, "description": text}
        if status == HTTPStatus.NOT_MODIFIED:
            shown[str(status)].pop("content", None)
    by_status: dict[int, set[str]] = defaultdict(set)
    for error in (*endpoint.errors, *unavoidable_errors(endpoint)):
        by_status[error.status].add(error.code)
    for status, codes in sorted(by_status.items()):
        shown.setdefault(str(status), error_response(status, codes))
    return shown


def unavoidable_errors(endpoint: Endpoint) -> list[type[ApiError]]:
    """What any request to `endpoint` can meet, whatever the operation does.

    A bearer token is looked at wherever it is sent, so a bad one is refused on public operations
    as well.
    """
    errors: list[type[ApiError]] = [
        BadRequest, InvalidToken, NotAcceptable, ValidationFailed, InternalError,
        ServiceUnavailable,
    ]  # fmt: skip
    if endpoint.permission is not None:
        errors.append(Forbidden)
    if endpoint.body is not None or endpoint.streams_body:
        errors += [PayloadTooLarge, UnsupportedMediaType]
    return errors


def error_response(status: int, codes: Iterable[str]) -> dict[str, Any]:
    """The Response Object of an error status, in both renderings."""
    return {
        "description": f"{HTTPStatus(status).phrase}: {', '.join(sorted(codes))}",
        "headers": {HEADER: {"schema": {"type": "string"}, "description": "Names the request."}},
        "content": {
            JSON: {"schema": {"$ref": f"#/components/schemas/{ErrorView.__name__}"}},
            PROBLEM_JSON: {"schema": {"$ref": f"#/components/schemas/{ProblemView.__name__}"}},
        },
    }
