"""Malformed HTTP: refused by the parser, answered in the contract's shape, never echoed."""

from __future__ import annotations

import orjson
import pytest

from tests.service.shared.conftest import Running, error_of

HEAD = b"GET /v2/things HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
POST = b"POST /v2/things HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
JSON = b"Content-Type: application/json\r\n"

MALFORMED: dict[str, tuple[bytes, int, str]] = {
    "garbage": (b"hunter2 garbage\r\n\r\n", 400, "BAD_REQUEST"),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20, 400, "BAD_REQUEST"),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "BAD_REQUEST"),
    "unknown method": (b"HACK /v2/things HTTP/1.1\r\nHost: x\r\n\r\n", 400, "BAD_REQUEST"),
    "odd version": (b"GET /v2/things HTTP/9.9\r\nHost: x\r\n\r\n", 400, "BAD_REQUEST"),
    "space in the target": (b"GET /v2/ things HTTP/1.1\r\nHost: x\r\n\r\n", 400, "BAD_REQUEST"),
    "header without colon": (HEAD + b"hunter2\r\n\r\n", 400, "BAD_REQUEST"),
    "space before colon": (HEAD + b"X-A : 1\r\n\r\n", 400, "BAD_REQUEST"),
    "NUL in a header": (HEAD + b"X-A: a\x00b\r\n\r\n", 400, "BAD_REQUEST"),
    "bare CR in a header": (HEAD + b"X-A: a\rb\r\n\r\n", 400, "BAD_REQUEST"),
    "folded header": (HEAD + b"X-A: a\r\n b\r\n\r\n", 400, "BAD_REQUEST"),
    "length no number": (POST + b"Content-Length: ten\r\n\r\n", 400, "BAD_REQUEST"),
    "length negative": (POST + b"Content-Length: -1\r\n\r\n", 400, "BAD_REQUEST"),
    "two lengths": (
        POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}x",
        400,
        "BAD_REQUEST",
    ),
    "length and chunks": (
        POST + JSON + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        "BAD_REQUEST",
    ),
    "unknown transfer coding": (POST + b"Transfer-Encoding: nonsense\r\n\r\n", 400, "BAD_REQUEST"),
    "chunk size no number": (
        POST + JSON + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
        400,
        "BAD_REQUEST",
    ),
    "one huge header": (HEAD + b"X-A: " + b"a" * 33_000 + b"\r\n\r\n", 431, "HEADERS_TOO_LARGE"),
    "one huge header name": (HEAD + b"a" * 33_000 + b": 1\r\n\r\n", 431, "HEADERS_TOO_LARGE"),
    "a long target": (
        b"GET /" + b"a" * 25_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        414,
        "URI_TOO_LONG",
    ),
    "unknown expectation": (HEAD + b"Expect: hunter2\r\n\r\n", 400, "BAD_REQUEST"),
}


@pytest.mark.parametrize(("sent", "status", "code"), MALFORMED.values(), ids=list(MALFORMED))
async def test_malformed_http(running: Running, sent: bytes, status: int, code: str) -> None:
    answer = await running.raw(sent)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head[9:12] == b"%d" % status, answer
    assert b"hunter2" not in answer
    assert b"Traceback" not in answer
    error = error_of(orjson.loads(body), code)
    assert b"X-Request-ID: " + error["request_id"].encode() in head


async def test_headers_without_end_are_bounded(running: Running) -> None:
    async with running.connection() as (reader, writer):
        writer.write(HEAD)
        for at in range(1000):
            writer.write(b"X-%d: " % at + b"a" * 4000 + b"\r\n")
            if writer.is_closing():
                break
        assert (await reader.readline())[9:12] == b"400"


async def test_what_the_gateway_lets_through_is_read(running: Running) -> None:
    long = "a" * 16_000
    async with running.client.get(f"/{long}", headers={"X-A": long}) as answer:
        assert answer.status == 404


async def test_after_malformed_http_others_are_served(running: Running) -> None:
    for sent, _, _ in MALFORMED.values():
        await running.raw(sent)
    async with running.client.get("/v2/things") as answer:
        assert answer.status == 200


async def test_a_client_that_waits_for_continue_is_told_to(running: Running) -> None:
    body = b'{"title": "x"}'
    async with running.connection() as (reader, writer):
        writer.write(POST + JSON + b"Expect: 100-continue\r\nContent-Length: 14\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        writer.write(body)
        assert (await reader.readline()).startswith(b"HTTP/1.1 201 ")


async def test_pipelined_requests_are_answered_in_order(running: Running) -> None:
    keep = b"GET /v2/things?page=%d HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = await running.raw(keep % 1 + keep % 2 + HEAD + b"\r\n")
    assert answer.count(b"HTTP/1.1 200 ") == 3
    assert answer.index(b'"page":1') < answer.index(b'"page":2')


async def test_a_packed_body_is_not_unpacked(running: Running) -> None:
    async with running.client.post(
        "/v2/things/import",
        data=b"\x1f\x8b",
        headers={"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"},
    ) as answer:
        assert answer.status == 415
