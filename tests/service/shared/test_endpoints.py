"""Endpoints: what they refuse, naming the field in the contract's shape; then what they take."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from tests.service.shared.conftest import AUTHORIZED, Running, error_of
from tests.service.shared.sample import MAX_BODY, THING
from tests.tokens import token

JSON = {"Content-Type": "application/json"}
LENGTH = ["Length must be between 1 and 20."]


async def refused(
    running: Running, method: str, path: str, status: int, code: str, **sent: Any
) -> dict[str, Any]:
    """The details of the refusal that the request must meet."""
    async with running.client.request(method, path, **sent) as answer:
        body = await answer.json()
        assert answer.status == status, body
        error = error_of(body, code)
        assert answer.headers["X-Request-ID"] == error["request_id"]
        details: dict[str, Any] = error["details"]
        return details


@pytest.mark.parametrize(
    ("body", "details"),
    [
        (b'{"title": ""}', {"title": LENGTH}),
        (b'{"title": "x", "colour": 1}', {"colour": ["Unknown field."]}),
        (b'{"title": "x", "title": "y"}', {"title": ["Duplicate key."]}),
        (rb'{"title": "\u0000"}', {"title": ["Must not contain the character U+0000."]}),
        (rb'{"title": "\ud800"}', {"title": ["Not valid Unicode text."]}),
        (
            b'{"title": 5, "weight": "1"}',
            {
                "title": ["Not a valid string."],
                "weight": ["Not a valid integer."],
            },
        ),
        (b'{"title": "x", "weight": 1e999}', {"weight": ["Number out of range."]}),
        (
            b'{"title": "x", "weight": 99999999999999999999}',
            {"weight": ["Must be between 1 and 5."]},
        ),
        (b'{"title": "x", "weight": true}', {"weight": ["Not a valid integer."]}),
        (
            b'{"title": "x", "labels": ["ok", "too long"]}',
            {"labels.1": ["Length must be between 1 and 5."]},
        ),
        (b'{"title": "x", "labels": "a"}', {"labels": ["Not a valid list."]}),
        (
            b'{"title":' + b"[" * 100 + b"]" * 100 + b"}",
            {"title": ["Nested deeper than 32 levels."]},
        ),
        (b"[]", {"body": ["Invalid input type."]}),
        (b"null", {"body": ["Invalid input type."]}),
        (b"{}", {"title": ["Missing data for required field."]}),
    ],
)
async def test_bad_values_are_named(
    running: Running, body: bytes, details: dict[str, list[str]]
) -> None:
    got = await refused(
        running, "POST", "/v2/things", 422, "VALIDATION_ERROR", data=body, headers=JSON
    )
    assert got == details


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 1900, b'{"a": NaN}'])
async def test_what_is_no_json(running: Running, body: bytes) -> None:
    got = await refused(running, "POST", "/v2/things", 400, "BAD_REQUEST", data=body, headers=JSON)
    assert list(got) == ["body"]


@pytest.mark.parametrize(
    ("headers", "named"),
    [
        ({}, "content-type"),
        ({"Content-Type": "text/plain"}, "content-type"),
        ({"Content-Type": "application/x-www-form-urlencoded"}, "content-type"),
        ({"Content-Type": "application/jsonx"}, "content-type"),
        ({"Content-Type": ""}, "content-type"),
        ({"Content-Type": ";;;="}, "content-type"),
        ({"Content-Type": "application/json; charset=latin-1"}, "content-type"),
        ({"Content-Type": "application/json; charset=utf-16"}, "content-type"),
        ({"Content-Type": "application/json; charset=nonsense"}, "content-type"),
        ({"Content-Type": "application/vnd.tasklane.v2+xml"}, "content-type"),
        ({"Content-Type": "application/vnd.other.v2+json"}, "content-type"),
        ({**JSON, "Content-Encoding": "gzip"}, "content-encoding"),
        ({**JSON, "Content-Encoding": "br, gzip"}, "content-encoding"),
        ({**JSON, "Content-Encoding": "nonsense"}, "content-encoding"),
    ],
)
async def test_media_types_that_are_not_taken(
    running: Running, headers: dict[str, str], named: str
) -> None:
    got = await refused(
        running,
        "POST",
        "/v2/things",
        415,
        "UNSUPPORTED_MEDIA_TYPE",
        data=b'{"title": "x"}',
        headers=headers,
        skip_auto_headers=["Content-Type"],
    )
    assert list(got) == [named]


@pytest.mark.parametrize(
    "media",
    [
        "application/json",
        "Application/JSON",
        "application/json; charset=UTF-8",
        'application/json; charset="utf-8"',
        "application/json;odata=verbose",
        "application/vnd.tasklane.v2+json",
    ],
)
async def test_media_types_that_are(running: Running, media: str) -> None:
    async with running.client.post(
        "/v2/things",
        data=b'{"title": "x"}',
        headers={"Content-Type": media, "Content-Encoding": "identity"},
    ) as answer:
        assert answer.status == 201
        assert answer.headers["Location"] == "/v2/things/7"
        assert answer.content_type == "application/json"


@pytest.mark.parametrize("counted", [True, False])
async def test_a_body_over_the_limit_is_refused_counted_or_not(
    running: Running, counted: bool
) -> None:
    body = orjson.dumps({"title": "x" * MAX_BODY})

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(body), 100):
            yield body[at : at + 100]

    got = await refused(
        running,
        "POST",
        "/v2/things",
        413,
        "PAYLOAD_TOO_LARGE",
        data=body if counted else pieces(),
        headers=JSON,
    )
    assert got == {"body": [f"At most {MAX_BODY} bytes."]}


async def test_an_announced_body_over_the_limit_is_refused_before_it_comes(
    running: Running,
) -> None:
    async with running.connection() as (reader, writer):
        writer.write(
            b"POST /v2/things HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: 10000000000\r\n\r\n"
        )
        assert (await reader.readline()).startswith(b"HTTP/1.1 413 ")


async def test_a_body_of_just_the_limit_is_read(running: Running) -> None:
    body = b'{"title": "x"}'.ljust(MAX_BODY)
    async with running.client.post("/v2/things", data=body, headers=JSON) as answer:
        assert answer.status == 201


@pytest.mark.parametrize(
    ("query", "details"),
    [
        ("?page=0", {"page": ["Must be between 1 and 100."]}),
        ("?page=x", {"page": ["Not a valid integer."]}),
        ("?page=", {"page": ["Not a valid integer."]}),
        ("?page=1&page=2", {"page": ["Must be given once."]}),
        ("?page=" + "9" * 4000, {"page": ["Not a valid integer."]}),
        ("?completed=1", {"completed": ["Not a valid boolean."]}),
        ("?colour=red", {"colour": ["Unknown field."]}),
        ("?colour=a&colour=b", {"colour": ["Unknown field."]}),
        ("?q=%00", {"q": ["Must not contain the character U+0000."]}),
        ("?q=%ff", {"q": ["Not valid UTF-8."]}),
        ("?page=1&q=a%ed%a0%80b", {"q": ["Not valid UTF-8."]}),
        ("?q=" + "x" * 21, {"q": ["Length must be between 0 and 20."]}),
        ("?sort=a&sort=b&sort=c&sort=d", {"sort": ["Longer than maximum length 3."]}),
        ("?=1", {"": ["Unknown field."]}),
        (
            "?page=0&completed=2",
            {
                "page": ["Must be between 1 and 100."],
                "completed": ["Not a valid boolean."],
            },
        ),
    ],
)
async def test_bad_parameters_are_named(
    running: Running, query: str, details: dict[str, list[str]]
) -> None:
    got = await refused(running, "GET", f"/v2/things{query}", 422, "VALIDATION_ERROR")
    assert got == details


@pytest.mark.parametrize(
    "target",
    [
        b"/v2/things?q=%ED%A0%80",
        b"/v2/things?q=%FF",
        b"/v2/things?q=%",
        b"/v2/things?%FF=1",
        b"/v2/things?q=\xff",
        b"/v2/things?&&&",
        b"/v2/things?q",
        b"/v2/things?" + b"&".join(b"x%d=1" % at for at in range(1000)),
        b"/v2/things/%00",
        b"/v2/things/%2F",
        b"/v2/things/%FF",
        b"/v2/things/..",
        b"/v2/things/%2e%2e/things",
        b"//v2//things",
    ],
)
async def test_no_target_breaks_anything(running: Running, target: bytes) -> None:
    answer = await running.raw(
        b"GET " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    status = int(answer[9:12])
    assert status < 500
    if status != 200:
        body = orjson.loads(answer.partition(b"\r\n\r\n")[2])
        assert set(body["error"]) == {"code", "message", "details", "request_id"}


@pytest.mark.parametrize("given", ["7", "null", str(THING).replace("-", ""), "%00", "x" * 3000])
async def test_an_id_that_is_none_is_named(running: Running, given: str) -> None:
    got = await refused(running, "GET", f"/v2/things/{given}", 422, "VALIDATION_ERROR")
    assert got == {"thing_id": ["Not a valid UUID."]}


async def test_problems_of_all_parts_are_told_together(running: Running) -> None:
    got = await refused(
        running,
        "PATCH",
        "/v2/things/7?page=0",
        422,
        "VALIDATION_ERROR",
        json={"title": ""},
        headers={"If-Match": "x" * 101},
    )
    assert set(got) == {"thing_id", "page", "If-Match", "title"}


async def test_an_operation_without_parameters_takes_none(running: Running) -> None:
    got = await refused(
        running, "GET", "/v2/private?x=1", 422, "VALIDATION_ERROR", headers=AUTHORIZED
    )
    assert got == {"x": ["Unknown field."]}


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({}, 401, "UNAUTHORIZED"),
        ({"Authorization": "Basic dTpw"}, 401, "UNAUTHORIZED"),
        ({"Authorization": "Bearer nonsense"}, 401, "UNAUTHORIZED"),
        ({"Authorization": f"Bearer {token(exp=1)}"}, 401, "UNAUTHORIZED"),
        ({"Authorization": f"Bearer {token(role='readonly')}"}, 403, "FORBIDDEN"),
        ({"Authorization": f"Bearer {token(scope='tasks:read')}"}, 403, "FORBIDDEN"),
    ],
)
async def test_who_may_not(
    running: Running, headers: dict[str, str], status: int, code: str
) -> None:
    async with running.client.get("/v2/private", headers=headers) as answer:
        assert answer.status == status
        error_of(await answer.json(), code)
        assert ("WWW-Authenticate" in answer.headers) is (status == 401)


async def test_permission_is_judged_before_the_input(running: Running) -> None:
    await refused(running, "GET", "/v2/private?x=1", 401, "UNAUTHORIZED")
    got = await refused(running, "GET", "/v2/others?x=1", 403, "FORBIDDEN", headers=AUTHORIZED)
    assert got == {"permission": ["Needs tasks:others."]}


async def test_a_bad_token_is_refused_on_a_public_operation_too(running: Running) -> None:
    bad = {"Authorization": "Bearer nonsense"}
    await refused(running, "GET", "/v2/things", 401, "UNAUTHORIZED", headers=bad)


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("text/html", 406),
        ("application/json;q=0", 406),
        ("application/xml, text/plain;q=0.5", 406),
        ("application/vnd.tasklane.v2+json;q=0", 406),
        ("application/json", 200),
        ("application/*", 200),
        ("text/html, */*;q=0.1", 200),
        ("application/problem+json", 200),
        ("application/vnd.tasklane.v2+json", 200),
        ("", 200),
    ],
)
async def test_negotiation(running: Running, accept: str, status: int) -> None:
    async with running.client.get("/v2/things", headers={"Accept": accept}) as answer:
        assert answer.status == status
        if status == 406:
            details = error_of(await answer.json(), "NOT_ACCEPTABLE")["details"]
            assert details == {"accept": ["Available: application/json."]}


async def test_errors_come_as_problems_on_request(running: Running) -> None:
    async with running.client.get(
        "/v2/things?page=0", headers={"Accept": "application/problem+json"}
    ) as answer:
        assert answer.content_type == "application/problem+json"
        body = await answer.json()
        assert body["status"] == answer.status == 422
        assert body["errors"] == {"page": ["Must be between 1 and 100."]}


async def test_the_handler_gets_what_was_given(running: Running) -> None:
    async with running.client.patch(
        f"/v2/things/{THING}?page=2&completed=true&sort=a&sort=b&q=%C3%A9",
        data=b'{"title": "x", "weight": 2.0}',
        headers={"Content-Type": "application/merge-patch+json", "If-Match": '"a"'},
    ) as answer:
        assert answer.status == 200
        assert await answer.json() == {
            "path": {"thing_id": str(THING)},
            "query": {"page": 2, "completed": True, "sort": ["a", "b"], "q": "é"},
            "headers": {"if_match": '"a"'},
            "body": {"title": "x", "weight": 2},
        }


async def test_header_lines_of_one_name_are_one_list(running: Running) -> None:
    answer = await running.raw(
        f"GET /v2/things/{THING} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n".encode()
        + b'If-Match: "a"\r\nif-match: "b"\r\n\r\n'
    )
    assert orjson.loads(answer.partition(b"\r\n\r\n")[2])["headers"] == {"if_match": '"a", "b"'}


async def test_a_header_of_other_bytes_is_named(running: Running) -> None:
    answer = await running.raw(
        f"GET /v2/things/{THING} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n".encode()
        + b"If-Match: \xff\xfe\r\n\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 422 ")
    assert list(orjson.loads(answer.partition(b"\r\n\r\n")[2])["error"]["details"]) == ["If-Match"]


async def test_an_error_brings_its_own_headers(running: Running) -> None:
    async with running.client.patch(
        f"/v2/things/{THING}", json={"title": "x"}, headers={"If-Match": '"stale"'}
    ) as answer:
        assert answer.status == 409
        assert answer.headers["X-Why"] == "stale"
        assert answer.headers["Cache-Control"] == "no-store"


async def test_a_reply_without_data_has_no_body(running: Running) -> None:
    async with running.client.delete(f"/v2/things/{THING}") as answer:
        assert answer.status == 204
        assert await answer.read() == b""


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"{}", 422), (b"null", 422), (b"[1,2,3,4]", 400), (b'[1,{"a":2},"x"]', 200), (b"[]", 200)],
)
async def test_arrays(running: Running, body: bytes, status: int) -> None:
    async with running.client.post("/v2/things/bulk", data=body, headers=JSON) as answer:
        assert answer.status == status
        shown = await answer.json()
        if status == 200:
            assert shown["body"] == orjson.loads(body)
        else:
            assert list(shown["error"]["details"]) == ["body"]


@pytest.mark.parametrize(
    ("sent", "status", "upwards"),
    [
        ({}, 200, True),
        ({"json": {}}, 200, True),
        ({"json": {"upwards": False}}, 200, False),
        ({"json": {"upwards": "no"}}, 422, None),
        ({"data": b"{", "headers": JSON}, 400, None),
        ({"data": b"upwards", "headers": {"Content-Type": "text/plain"}}, 415, None),
    ],
)
async def test_a_body_that_may_be_left_out(
    running: Running, sent: dict[str, Any], status: int, upwards: bool | None
) -> None:
    async with running.client.post("/v2/things/sort", **sent) as answer:
        assert answer.status == status
        if upwards is not None:
            assert (await answer.json())["body"] == {"upwards": upwards}


async def test_a_streamed_body_is_checked_for_its_type_only(running: Running) -> None:
    await refused(
        running, "POST", "/v2/things/import", 415, "UNSUPPORTED_MEDIA_TYPE", json={"a": 1}
    )
    async with running.client.post(
        "/v2/things/import",
        data=b"x" * 100_000,
        headers={"Content-Type": "application/x-ndjson"},
    ) as answer:
        assert (await answer.json())["body"] == 100_000


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/v2/things", "GET, HEAD, POST"),
        ("PUT", f"/v2/things/{THING}", "DELETE, GET, HEAD, PATCH"),
        ("GET", "/v2/things/import", "POST"),
        ("DELETE", "/v2/things/bulk", "POST"),
        ("OPTIONS", "/v2/things", "GET, HEAD, POST"),
        ("POST", "/v2/openapi.json", "GET, HEAD"),
        ("POST", "/health/live", "GET, HEAD"),
    ],
)
async def test_methods_that_a_path_has_not(
    running: Running, method: str, path: str, allowed: str
) -> None:
    async with running.client.request(method, path) as answer:
        assert answer.status == 405
        error_of(await answer.json(), "METHOD_NOT_ALLOWED")
        assert answer.headers["Allow"] == allowed


@pytest.mark.parametrize("path", ["/", "/v2", "/v2/", "/v2/thing", "/v3/things", "/v2/things/7/x"])
async def test_a_path_that_is_not_there_lists_no_others(running: Running, path: str) -> None:
    assert await refused(running, "GET", path, 404, "NOT_FOUND") == {}


async def test_head_is_get_without_the_body(running: Running) -> None:
    async with running.client.get("/v2/things") as get, running.client.head("/v2/things") as head:
        assert head.status == get.status == 200
        assert head.headers["Content-Length"] == get.headers["Content-Length"]
        assert await head.read() == b""
