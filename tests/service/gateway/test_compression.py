"""Compressed answers: who gets them, and what stays true of entity tags, HEAD and cut answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientError, web

from tests.service.gateway.door import GENEROUS, Door, Upstream, door, upstream

CONFIG = (
    GENEROUS
    + """
[upstreams.echo]
endpoints = ["{url}"]
[[routes]]
prefix = "/echo"
upstream = "echo"
auth = "none"
compress = true
[[routes]]
prefix = "/plain"
upstream = "echo"
auth = "none"
"""
)
LARGE = '{"words": "' + "tasklane " * 400 + '"}'
GZIP = {"Accept-Encoding": "gzip"}
CODINGS = ["br", "gzip"]


@pytest.fixture
async def service() -> AsyncIterator[Upstream]:
    async with upstream() as running:
        running.answers = {
            f"/v1{path}": handler
            for path, handler in {
                "/echo/large": large,
                "/plain/large": large,
                "/echo/small": small,
                "/echo/stream": stream,
                "/echo/cut": cut,
                "/echo/done": done,
                "/echo/fixed": fixed,
                "/echo/binary": binary,
                "/echo/events": events,
                "/echo/failure": failure,
            }.items()
        }
        yield running


@pytest.fixture
async def gateway(service: Upstream, tmp_path: Path) -> AsyncIterator[Door]:
    config = tmp_path / "gateway.toml"
    config.write_text(CONFIG.replace("{url}", service.url))
    async with door(config, service) as running:
        yield running


async def large(request: web.Request) -> web.StreamResponse:
    tag = '"s1"'
    if tag in request.headers.get("If-None-Match", ""):
        return web.Response(status=304, headers={"ETag": tag})
    if request.method == "PUT" and request.headers.get("If-Match") != tag:
        return web.json_response({}, status=412)
    headers = {"ETag": tag, "Accept-Ranges": "bytes"}
    return web.Response(text=LARGE, content_type="application/json", headers=headers)


async def small(_request: web.Request) -> web.StreamResponse:
    return web.json_response({"a": 1}, headers={"ETag": '"s1"'})


async def stream(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Type": "application/x-ndjson", "ETag": 'W/"w"'})
    await answer.prepare(request)
    for line in range(50):
        await answer.write(f'{{"line": {line}}}\n'.encode())
    await answer.write_eof()
    return answer


async def cut(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Type": "application/json"})
    await answer.prepare(request)
    await answer.write(b"[" + b"1," * 5000)
    assert request.transport is not None
    request.transport.abort()
    return answer


async def done(_request: web.Request) -> web.StreamResponse:
    headers = {"Content-Encoding": "br", "Content-Type": "application/json"}
    return web.Response(body=b"x" * 5000, headers=headers)


async def fixed(_request: web.Request) -> web.StreamResponse:
    headers = {"Cache-Control": "max-age=1, No-Transform"}
    return web.Response(text=LARGE, content_type="application/json", headers=headers)


async def binary(_request: web.Request) -> web.StreamResponse:
    return web.Response(body=b"x" * 5000, content_type="application/octet-stream")


async def events(_request: web.Request) -> web.StreamResponse:
    return web.Response(text="data: x\n\n" * 500, content_type="text/event-stream")


async def failure(_request: web.Request) -> web.StreamResponse:
    return web.Response(status=500, text="x" * 5000)


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/echo/large", {"Accept-Encoding": "identity"}),
        ("/echo/large", {"Accept-Encoding": "gzip;q=0"}),
        ("/echo/large", {"Accept-Encoding": "br;q=0, zstd"}),
        ("/echo/large", {"Accept-Encoding": "br", "Cookie": "a=b"}),
        ("/echo/large", {**GZIP, "Cookie": "a=b"}),
        ("/plain/large", GZIP),
        ("/echo/small", GZIP),
        ("/echo/fixed", GZIP),
        ("/echo/binary", GZIP),
        ("/echo/events", GZIP),
        ("/echo/failure", GZIP),
    ],
    ids=str,
)
async def test_what_is_not_compressed(gateway: Door, path: str, headers: dict[str, str]) -> None:
    answer, _ = await gateway.get(f"/api/v1{path}", headers=headers)
    assert "Content-Encoding" not in answer.headers
    assert not answer.headers.get("ETag", "").endswith('-gzip"')


async def test_what_the_service_has_encoded_stays_so(gateway: Door) -> None:
    async with gateway.session.get(
        f"{gateway.url}/api/v1/echo/done", headers=GZIP, auto_decompress=False
    ) as answer:
        assert answer.headers["Content-Encoding"] == "br"
        assert await answer.read() == b"x" * 5000


async def test_an_answer_that_breaks_off_does_not_look_complete(gateway: Door) -> None:
    with pytest.raises(ClientError):
        await gateway.get("/api/v1/echo/cut", headers=GZIP)


@pytest.mark.parametrize("coding", CODINGS)
async def test_large_json_is_compressed_for_who_asks(gateway: Door, coding: str) -> None:
    for _ in range(2):  # the second is a repetition on the same connection
        headers = {"Accept-Encoding": coding}
        answer, body = await gateway.get("/api/v1/echo/large", headers=headers)
        assert answer.headers["Content-Encoding"] == coding
        assert answer.headers["ETag"] == f'"s1-{coding}"'
        assert "Accept-Encoding" in answer.headers["Vary"]
        assert "Accept-Ranges" not in answer.headers
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert int(answer.headers["Content-Length"]) < 500
        assert body["words"].startswith("tasklane")


async def test_who_does_not_ask_learns_that_the_answer_varies(gateway: Door) -> None:
    answer, _ = await gateway.get("/api/v1/echo/large", headers={"Accept-Encoding": "identity"})
    assert "Accept-Encoding" in answer.headers["Vary"]
    assert answer.headers["ETag"] == '"s1"'


async def test_head_says_what_get_would(gateway: Door) -> None:
    answer, _ = await gateway.ask("HEAD", "/api/v1/echo/large", headers=GZIP)
    assert (answer.headers["Content-Encoding"], answer.headers["ETag"]) == ("gzip", '"s1-gzip"')
    assert "Content-Length" not in answer.headers


@pytest.mark.parametrize("coding", CODINGS)
async def test_a_stream_is_compressed_as_it_comes(gateway: Door, coding: str) -> None:
    target = f"{gateway.url}/api/v1/echo/stream"
    async with gateway.session.get(target, headers={"Accept-Encoding": coding}) as answer:
        text = await answer.text()
    assert answer.headers["Content-Encoding"] == coding
    assert answer.headers["ETag"] == 'W/"w"'
    assert text.splitlines() == [f'{{"line": {line}}}' for line in range(50)]


@pytest.mark.parametrize("coding", CODINGS)
async def test_the_tag_of_a_compressed_answer_validates(gateway: Door, coding: str) -> None:
    known = {"If-None-Match": f'"other", "s1-{coding}"'}
    headers = {"Accept-Encoding": coding, **known}
    answer, _ = await gateway.get("/api/v1/echo/large", headers=headers)
    assert (answer.status, answer.headers["ETag"]) == (304, f'"s1-{coding}"')
    headers["Accept-Encoding"] = "gzip" if coding == "br" else "br"
    answer, _ = await gateway.get("/api/v1/echo/large", headers=headers)
    assert answer.status == 200
    plain = {"Accept-Encoding": "identity"}
    answer, _ = await gateway.get("/api/v1/echo/large", headers={**plain, **known})
    assert (answer.status, answer.headers["ETag"]) == (200, '"s1"')
    answer, _ = await gateway.get("/api/v1/echo/large", headers={**GZIP, "If-None-Match": '"s1"'})
    assert (answer.status, answer.headers["ETag"]) == (304, '"s1"')


@pytest.mark.parametrize(
    ("tag", "status"), [('"s0-gzip"', 412), ('"s1-gzip"', 200), ('"s1-br"', 200)]
)
async def test_the_tag_of_a_compressed_answer_protects_a_change(
    gateway: Door, tag: str, status: int
) -> None:
    headers = {"Accept-Encoding": "identity", "If-Match": tag}
    answer, _ = await gateway.ask("PUT", "/api/v1/echo/large", headers=headers, data=b"{}")
    assert answer.status == status
