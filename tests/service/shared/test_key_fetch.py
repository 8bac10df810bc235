"""Fetching the key set over HTTP: a server that redirects, floods, hangs or is gone."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import ClientSession, web

from shared.errors import ServiceUnavailable
from shared.jwks import MAX_KEY_SET_BYTES, JwksCache, http_fetch
from tests.ports import free_port
from tests.tokens import key_set


async def redirect(_request: web.Request) -> web.Response:
    raise web.HTTPFound("/good")


async def missing(_request: web.Request) -> web.Response:
    return web.Response(status=404, body=key_set("key-1"))


async def failing(_request: web.Request) -> web.Response:
    return web.Response(status=500, text="<html>")


async def huge(_request: web.Request) -> web.Response:
    return web.Response(body=b" " * (MAX_KEY_SET_BYTES + 1))


async def endless(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse()
    await answer.prepare(request)
    while True:
        await answer.write(b" " * 65_536)


async def packed(_request: web.Request) -> web.Response:
    return web.Response(body=gzip.compress(b" " * 10_000_000), headers={"Content-Encoding": "gzip"})


async def broken(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Length": "1000"})
    await answer.prepare(request)
    await answer.write(b'{"keys":')
    assert request.transport is not None
    request.transport.abort()
    return answer


async def hanging(request: web.Request) -> web.Response:
    await asyncio.sleep(30)
    return web.Response()


async def garbage(_request: web.Request) -> web.Response:
    return web.Response(text="<html>", content_type="text/html")


async def good(_request: web.Request) -> web.Response:
    return web.Response(body=key_set("key-1"))


@pytest.fixture
async def cache_of() -> AsyncIterator[object]:
    """Makes a cache that fetches from one path of the server."""
    app = web.Application()
    for handler in (
        redirect, missing, failing, huge, endless, packed, broken, hanging, garbage, good,
    ):  # fmt: skip
        app.router.add_get(f"/{handler.__name__}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]

    @asynccontextmanager
    async def cache_of(path: str) -> AsyncIterator[JwksCache]:
        async with ClientSession() as session:
            url = f"http://127.0.0.1:{port}/{path}"
            yield JwksCache(http_fetch(session, url, timeout_seconds=0.5))

    yield cache_of
    await runner.cleanup()


BAD = [redirect, missing, failing, huge, endless, packed, broken, hanging, garbage]


@pytest.mark.parametrize("path", [handler.__name__ for handler in BAD])
async def test_what_gives_no_keys(cache_of: object, path: str) -> None:
    assert callable(cache_of)
    async with cache_of(path) as cache:
        with pytest.raises(ServiceUnavailable):
            await cache.key("key-1")


async def test_what_does(cache_of: object) -> None:
    assert callable(cache_of)
    async with cache_of("good") as cache:
        assert await cache.key("key-1") is not None


async def test_a_server_that_is_gone() -> None:
    async with ClientSession() as session:
        cache = JwksCache(http_fetch(session, f"http://127.0.0.1:{free_port()}/keys"))
        with pytest.raises(ServiceUnavailable):
            await cache.key("key-1")
