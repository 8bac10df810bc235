"""The error contract: the catalogue, the two renderings and who gets which."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from shared import errors
from shared.errors import JSON, PROBLEM_JSON, ApiError, render

CONTRACT = {
    400: {"BAD_REQUEST", "UNSUPPORTED_VERSION", "VERSION_CONFLICT"},
    401: {"UNAUTHORIZED"},
    403: {"FORBIDDEN", "CSRF_FAILED"},
    404: {"NOT_FOUND"},
    405: {"METHOD_NOT_ALLOWED"},
    406: {"NOT_ACCEPTABLE"},
    408: {"REQUEST_TIMEOUT"},
    409: {"CONFLICT"},
    410: {"VERSION_RETIRED"},
    411: {"LENGTH_REQUIRED"},
    412: {"PRECONDITION_FAILED"},
    413: {"PAYLOAD_TOO_LARGE"},
    414: {"URI_TOO_LONG"},
    415: {"UNSUPPORTED_MEDIA_TYPE"},
    422: {"VALIDATION_ERROR", "IDEMPOTENCY_MISMATCH"},
    423: {"ACCOUNT_LOCKED"},
    428: {"PRECONDITION_REQUIRED"},
    429: {"RATE_LIMITED"},
    431: {"HEADERS_TOO_LARGE"},
    500: {"INTERNAL_ERROR"},
    502: {"UPSTREAM_ERROR"},
    503: {"SERVICE_UNAVAILABLE"},
    504: {"UPSTREAM_TIMEOUT"},
}


def test_catalogue_holds_the_codes_of_the_contract() -> None:
    found: dict[int, set[str]] = {}
    for cls in errors.catalogue():
        found.setdefault(cls.status, set()).add(cls.code)
    assert {status: found.get(status, set()) & codes for status, codes in CONTRACT.items()} == (
        CONTRACT
    )


def test_catalogue_has_each_code_once_and_in_order() -> None:
    listed = [(cls.status, cls.code) for cls in errors.catalogue()]
    assert listed == sorted(listed)
    assert len({code for _, code in listed}) == len(listed)


def test_envelope() -> None:
    error = errors.ValidationFailed(details={"title": ["Too long."]})
    rendered = render(error, request_id="r-1", accept=None)
    assert rendered.status == 422
    assert rendered.headers == {"Content-Type": JSON, "Cache-Control": "no-store"}
    assert orjson.loads(rendered.body) == {
        "error": {
            "code": "VALIDATION_ERROR",
            "message": "Invalid input data",
            "details": {"title": ["Too long."]},
            "request_id": "r-1",
        }
    }


def test_problem() -> None:
    error = errors.Conflict("The e-mail is taken", details={"email": ["Taken."]})
    rendered = render(error, request_id="a b/c", accept=PROBLEM_JSON)
    assert rendered.headers["Content-Type"] == PROBLEM_JSON
    assert orjson.loads(rendered.body) == {
        "type": "/api/errors#CONFLICT",
        "title": "The request conflicts with the current state",
        "status": 409,
        "detail": "The e-mail is taken",
        "instance": "urn:tasklane:request:a%20b%2Fc",
        "code": "CONFLICT",
        "errors": {"email": ["Taken."]},
    }


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (None, JSON),
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        ("text/html", JSON),
        ("application/json", JSON),
        ("application/json, application/problem+json;q=0.9", JSON),
        ("application/problem+json;q=0", JSON),
        ("application/problem+json;q=garbled", JSON),
        ("application/problem+json", PROBLEM_JSON),
        ("Application/Problem+JSON", PROBLEM_JSON),
        ("application/problem+json;q=0.1, */*;q=0.9", PROBLEM_JSON),
        ("application/json, application/problem+json", PROBLEM_JSON),
        ("application/json;q=0.5, application/problem+json;q=0.6", PROBLEM_JSON),
    ],
)
def test_who_gets_which_rendering(accept: str | None, content_type: str) -> None:
    rendered = render(errors.NotFound(), request_id="r", accept=accept)
    assert rendered.headers["Content-Type"] == content_type


@pytest.mark.parametrize("accept", [JSON, PROBLEM_JSON])
@pytest.mark.parametrize("value", ["\udc80", 2**70, {"nested": ["\ud800"]}, object()])
def test_details_that_are_no_json_still_give_an_answer(accept: str, value: Any) -> None:
    rendered = render(errors.BadRequest(details={"x": value}), request_id="r", accept=accept)
    assert rendered.status == 400
    assert b"BAD_REQUEST" in rendered.body
    rendered.body.decode("utf-8")


@pytest.mark.parametrize(
    ("error", "header", "value"),
    [
        (errors.Unauthorized(), "WWW-Authenticate", 'Bearer realm="tasklane"'),
        (
            errors.InvalidToken(),
            "WWW-Authenticate",
            'Bearer realm="tasklane", error="invalid_token"',
        ),
        (errors.MethodNotAllowed(["PUT", "GET"]), "Allow", "GET, PUT"),
        (errors.MethodNotAllowed([]), "Allow", ""),
        (errors.AccountLocked(900), "Retry-After", "900"),
        (errors.AccountLocked(0), "Retry-After", "1"),
        (errors.RateLimited(-3), "Retry-After", "1"),
        (errors.RateLimited(7), "Retry-After", "7"),
        (errors.ServiceUnavailable(), "Retry-After", "1"),
        (errors.ServiceUnavailable(retry_after_seconds=30), "Retry-After", "30"),
    ],
)
def test_headers_that_belong_to_an_error(error: ApiError, header: str, value: str) -> None:
    assert render(error, request_id="r", accept=None).headers[header] == value


def test_details_are_an_object_and_a_copy() -> None:
    details = {"title": ["Too long."]}
    error = errors.ValidationFailed(details=details)
    details.clear()
    assert error.details == {"title": ["Too long."]}
    assert errors.NotFound().details == {}
