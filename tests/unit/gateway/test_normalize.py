"""Upstream answers, in whatever shape, come out in ours."""

from __future__ import annotations

import orjson
import pytest
from structlog.testing import capture_logs

from services.gateway import normalize
from services.gateway.config import Access, Route
from services.gateway.exchange import Headers, Timeouts
from tests.unit.gateway.exchanges import exchange

HTML: Headers = [(b"content-type", b"text/html")]
JSON: Headers = [(b"content-type", b"application/json; charset=utf-8")]
ENVELOPE = {"error": {"code": "C", "message": "m", "details": {}, "request_id": "r"}}


def route(*, raw_errors: bool = False) -> Route:
    return Route(
        prefix="/tasks",
        upstream="tasks",
        access=Access.NONE,
        timeouts=Timeouts(),
        max_body=1,
        retries=1,
        versioned=True,
        raw_errors=raw_errors,
        templates={},
        target_prefixes={},
    )


@pytest.mark.parametrize(
    ("status", "headers", "raw", "inspected"),
    [
        (200, HTML, False, False),
        (304, [], False, False),
        (404, HTML, False, True),
        (404, JSON, False, True),
        (404, [], False, True),
        (500, HTML, True, False),
        (404, [(b"content-type", b"application/problem+json")], False, False),
        (404, [(b"content-type", b"Application/Problem+JSON; charset=utf-8")], False, False),
    ],
)
def test_what_is_looked_into(status: int, headers: Headers, raw: bool, inspected: bool) -> None:
    assert normalize.is_to_inspect(route(raw_errors=raw), status, headers) is inspected


@pytest.mark.parametrize(
    ("headers", "body", "complete"),
    [
        (HTML, b"<html>Traceback</html>", True),
        (JSON, b"", True),
        (JSON, b"{", True),
        (JSON, b"[]", True),
        (JSON, b'{"detail": "x"}', True),
        (JSON, b'{"error": "x"}', True),
        (JSON, b'{"error": {"code": 7, "message": "m", "details": {}, "request_id": ""}}', True),
        (JSON, orjson.dumps({**ENVELOPE, "success": False}), True),
        (JSON, orjson.dumps(ENVELOPE), False),
        ([*JSON, (b"content-encoding", b"gzip")], orjson.dumps(ENVELOPE), True),
        (JSON, b"\xff\xfe", True),
    ],
)
def test_other_shapes_are_replaced(headers: Headers, body: bytes, complete: bool) -> None:
    error = normalize.foreign_error(exchange(), 500, headers, body, complete=complete)
    assert error is not None
    assert (error.status, error.code, error.details) == (500, "INTERNAL_ERROR", {})


@pytest.mark.parametrize(("status", "level"), [(404, "info"), (500, "warning")])
def test_what_a_service_said_is_in_the_log_at_the_level_of_production(
    status: int, level: str
) -> None:
    with capture_logs() as logged:
        normalize.foreign_error(exchange(), status, [], b"<h1>Trace", complete=True)
    assert [(line["log_level"], line["body"]) for line in logged] == [(level, "<h1>Trace")]


def test_our_own_shape_passes() -> None:
    body = orjson.dumps(ENVELOPE)
    assert normalize.foreign_error(exchange(), 404, JSON, body, complete=True) is None


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "BAD_REQUEST"), (401, "UNAUTHORIZED"), (402, "BAD_REQUEST"), (403, "FORBIDDEN"),
        (404, "NOT_FOUND"), (405, "METHOD_NOT_ALLOWED"), (406, "NOT_ACCEPTABLE"),
        (408, "REQUEST_TIMEOUT"), (409, "CONFLICT"), (410, "BAD_REQUEST"),
        (411, "LENGTH_REQUIRED"), (412, "PRECONDITION_FAILED"), (413, "PAYLOAD_TOO_LARGE"),
        (414, "URI_TOO_LONG"), (415, "UNSUPPORTED_MEDIA_TYPE"), (418, "BAD_REQUEST"),
        (422, "VALIDATION_ERROR"), (423, "ACCOUNT_LOCKED"), (428, "PRECONDITION_REQUIRED"),
        (429, "RATE_LIMITED"), (499, "BAD_REQUEST"), (500, "INTERNAL_ERROR"),
        (501, "INTERNAL_ERROR"), (502, "UPSTREAM_ERROR"), (503, "SERVICE_UNAVAILABLE"),
        (504, "UPSTREAM_TIMEOUT"), (599, "INTERNAL_ERROR"),
    ],
)  # fmt: skip
def test_every_status_is_kept_and_has_a_code(status: int, code: str) -> None:
    error = normalize.error_of(status)
    assert (error.status, error.code) == (status, code)
    if status in (429, 503, 423):
        assert "Retry-After" in error.headers
    if status == 401:
        assert "WWW-Authenticate" in error.headers
    if status == 405:
        assert "Allow" in error.headers


def test_a_status_of_somebody_else_does_not_rub_off() -> None:
    normalize.error_of(418)
    assert normalize.error_of(400).status == 400


def test_what_a_client_needs_beside_the_body_is_kept() -> None:
    headers: Headers = [
        *HTML,
        (b"allow", b"GET, PUT"),
        (b"retry-after", b"7"),
        (b"set-cookie", b"a=1"),
        (b"set-cookie", b"b=2"),
        (b"etag", b'"x"'),
        (b"x-debug", b"stack"),
    ]
    error = normalize.foreign_error(exchange(), 405, headers, b"", complete=True)
    assert error is not None
    assert error.headers == {"Allow": "GET, PUT", "Retry-After": "7"}
    assert normalize.kept_beside(headers) == [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]


@pytest.mark.parametrize(
    ("location", "seen"),
    [
        (b"/v2/tasks/7", b"/api/v2/tasks/7"),
        (b"/api/v2/tasks/7", b"/api/v2/tasks/7"),
        (b"/v1/tasks/7", b"/v1/tasks/7"),
        (b"https://elsewhere.example/v2/x", b"https://elsewhere.example/v2/x"),
    ],
)
def test_a_location_is_one_that_the_client_can_follow(location: bytes, seen: bytes) -> None:
    request = exchange("/api/v2/tasks")
    request.api_version = "v2"
    assert normalize.relayed(request, 201, [(b"location", location)]) == [(b"location", seen)]


def test_what_the_gateway_says_itself_is_not_relayed() -> None:
    headers: Headers = [
        (b"server", b"nginx"),
        (b"x-powered-by", b"PHP"),
        (b"x-request-id", b"theirs"),
        (b"x-ratelimit-limit", b"5"),
        (b"access-control-allow-origin", b"*"),
        (b"etag", b'"1"'),
    ]
    assert normalize.relayed(exchange(), 200, headers) == [(b"etag", b'"1"')]


@pytest.mark.parametrize(
    ("location", "lines"),
    [
        (b"/api/v2/tasks/7", b"location: /api/v2/tasks/7\r\n"),
        (b"https://example.com/", b"location: https://example.com/\r\n"),
        (b"/v2/tasks/7", b""),
    ],
)
def test_a_location_below_a_version_waits_for_the_request(location: bytes, lines: bytes) -> None:
    assert normalize.relayed_lines(201, [(b"location", location)]) == lines
