"""The response cache: what it must never do, what it saves, and what still happens on a hit."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from services.gateway.cache import stage
from tests import tokens
from tests.service.gateway.door import Door, Upstream, door, upstream

CONFIG = """
[limits.tiers]
anonymous = ["30/hour"]
default = ["30/hour"]
[upstreams.echo]
endpoints = ["{url}"]
[[routes]]
prefix = "/echo"
upstream = "echo"
auth = "optional"
cache = true
[[routes]]
prefix = "/plain"
upstream = "echo"
auth = "none"
"""
ECHO = "/api/v1/echo/a"


class Service:
    """Answers with what it is told to; `gate` keeps it from answering."""

    def __init__(self, running: Upstream) -> None:
        self.running = running
        self.cache_control = "public, max-age=60"
        self.more: dict[str, str] = {}
        self.status = 200
        self.asked = 0
        self.arrived = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()
        for path in ("/v1/echo/a", "/v1/plain/a"):
            running.answers[path] = self.answer

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        self.arrived.set()
        number = self.asked
        await self.gate.wait()
        headers = {"Cache-Control": self.cache_control, "ETag": f'"{number}"', **self.more}
        if self.status == 0:
            assert request.transport is not None
            answer = web.StreamResponse(headers={**headers, "Content-Length": "100"})
            await answer.prepare(request)
            await answer.write(b"{")
            request.transport.close()
            return answer
        return web.json_response({"number": number}, status=self.status, headers=headers)


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with upstream() as running:
        yield Service(running)


@pytest.fixture
async def gateway(service: Service, tmp_path: Path) -> AsyncIterator[Door]:
    config = tmp_path / "gateway.toml"
    config.write_text(CONFIG.replace("{url}", service.running.url))
    async with door(config, service.running) as running:
        yield running


@pytest.mark.parametrize(
    "headers",
    [
        {"Cookie": "a=b"},
        {"Cache-Control": "no-store"},
        {"Cache-Control": "no-cache"},
        {"Cache-Control": "max-age=0"},
        {"Pragma": "no-cache"},
        {"Range": "bytes=0-1"},
        {"If-Match": '"1"'},
    ],
    ids=str,
)
async def test_a_request_that_gets_nothing_stored(
    gateway: Door, service: Service, headers: dict[str, str]
) -> None:
    await gateway.get(ECHO)
    answer, body = await gateway.get(ECHO, headers=headers)
    assert (body, service.asked) == ({"number": 2}, 2)
    assert answer.headers["Cache-Status"].startswith("tasklane; fwd=")


async def test_nothing_crosses_between_identities(gateway: Door, service: Service) -> None:
    token = tokens.token()
    for number, options in enumerate(({"token": token}, {}, {"token": token}, {}), 1):
        answer, body = await gateway.get(ECHO, **options)
        told = answer.headers["Cache-Status"]
        if options:
            assert "fwd=bypass" in told
            assert body == {"number": number}
    assert told.startswith("tasklane; hit; ")
    assert body == {"number": 2}


async def test_bad_credentials_are_refused_beside_a_stored_answer(gateway: Door) -> None:
    await gateway.get(ECHO)
    answer, _ = await gateway.get(ECHO, token="bad")
    assert answer.status == 401


@pytest.mark.parametrize(
    ("cache_control", "more", "status"),
    [
        ("private, max-age=60", {}, 200),
        ("max-age=60", {}, 200),
        ("public, max-age=0", {}, 200),
        ("public, max-age=60", {"Set-Cookie": "a=b"}, 200),
        ("public, max-age=60", {"Vary": "*"}, 200),
        ("public, max-age=60", {"Age": "60"}, 200),
        ("public, max-age=60", {}, 404),
        ("public, max-age=60", {}, 203),
    ],
    ids=str,
)
async def test_an_answer_that_is_not_stored(
    gateway: Door, service: Service, cache_control: str, more: dict[str, str], status: int
) -> None:
    service.cache_control, service.more, service.status = cache_control, more, status
    for asked in (1, 2):
        answer, _ = await gateway.get(ECHO)
        assert (answer.status, service.asked) == (status, asked)
        assert "stored" not in answer.headers.get("Cache-Status", "")


async def test_an_answer_that_breaks_off_is_neither_stored_nor_sent(
    gateway: Door, service: Service
) -> None:
    service.status = 0
    answer, body = await gateway.get(ECHO)
    assert (answer.status, body["error"]["code"]) == (502, "UPSTREAM_ERROR")
    service.status = 200
    answer, body = await gateway.get(ECHO)
    assert (answer.status, body) == (200, {"number": service.asked})


async def test_a_route_without_a_cache_has_none(gateway: Door, service: Service) -> None:
    for asked in (1, 2, 3):
        answer, _ = await gateway.get("/api/v1/plain/a")
        assert service.asked == asked
        assert "Cache-Status" not in answer.headers


async def test_a_hit_asks_nobody_and_is_an_answer_like_any_other(
    gateway: Door, service: Service
) -> None:
    first, _ = await gateway.get(ECHO)
    assert first.headers["Cache-Status"] == "tasklane; fwd=miss; stored"
    second, body = await gateway.get(ECHO)
    assert (body, service.asked) == ({"number": 1}, 1)
    assert re.fullmatch(r"tasklane; hit; ttl=\d+", second.headers["Cache-Status"])
    assert int(second.headers["Age"]) < 60
    assert second.headers["ETag"] == '"1"'
    assert second.headers["X-Request-ID"] != first.headers["X-Request-ID"]
    left = [int(one.headers["X-RateLimit-Remaining"]) for one in (first, second)]
    assert left[1] == left[0] - 1
    others = {"Cache-Status", "Age", "X-Request-ID", "Date"}
    assert set(first.headers) - others == set(second.headers) - others
    figures = await gateway.metrics()
    assert 'cache_requests_total{result="hit"} 1.0' in figures
    assert 'cache_requests_total{result="miss"} 1.0' in figures


async def test_limits_hold_for_what_is_stored(gateway: Door, service: Service) -> None:
    statuses = [(await gateway.get(ECHO))[0].status for _ in range(31)]
    assert statuses == [200] * 30 + [429]
    assert service.asked == 1


async def test_hosts_queries_and_varying_fields_are_kept_apart(
    gateway: Door, service: Service
) -> None:
    service.more = {"Vary": "Accept-Language"}
    asked = [
        (ECHO, {}),
        (ECHO + "?x=1", {}),
        (ECHO, {"Host": "other.example"}),
        (ECHO, {"Accept-Language": "de"}),
    ]
    for _ in range(2):
        bodies = [(await gateway.get(path, headers=headers))[1] for path, headers in asked]
        assert bodies == [{"number": number} for number in (1, 2, 3, 4)]


async def test_a_stored_answer_is_validated(gateway: Door, service: Service) -> None:
    await gateway.get(ECHO)
    answer, _ = await gateway.get(ECHO, headers={"If-None-Match": '"1"'})
    assert (answer.status, answer.headers["ETag"], service.asked) == (304, '"1"', 1)
    assert "hit" in answer.headers["Cache-Status"]
    answer, _ = await gateway.get(ECHO, headers={"If-None-Match": '"0"'})
    assert (answer.status, service.asked) == (200, 1)


@pytest.mark.parametrize(("status", "asked"), [(200, 3), (409, 2)])
async def test_a_change_drops_what_is_stored(
    gateway: Door, service: Service, status: int, asked: int
) -> None:
    await gateway.get(ECHO + "?x=1")
    service.status = status
    await gateway.ask("POST", ECHO, data=b"{}")
    service.status = 200
    await gateway.get(ECHO + "?x=1")
    assert service.asked == asked


async def test_what_was_asked_for_before_a_change_is_not_stored(
    gateway: Door, service: Service
) -> None:
    service.gate.clear()
    before = asyncio.create_task(gateway.get(ECHO))
    await service.arrived.wait()
    service.running.answers["/v1/echo/a"] = _done
    await gateway.ask("POST", ECHO, data=b"{}")
    service.running.answers["/v1/echo/a"] = service.answer
    service.gate.set()
    answer, body = await before
    assert body == {"number": 1}
    assert "stored" not in answer.headers["Cache-Status"]
    _, body = await gateway.get(ECHO)
    assert body == {"number": 2}


async def test_a_reload_drops_what_is_stored(
    gateway: Door, service: Service, tmp_path: Path
) -> None:
    await gateway.get(ECHO)
    os.kill(os.getpid(), signal.SIGHUP)
    taken = 'config_reloads_total{result="taken"} 1.0'
    while taken not in await gateway.metrics():
        pass
    await gateway.get(ECHO)
    assert service.asked == 2


async def _done(_request: web.Request) -> web.StreamResponse:
    return web.Response(status=204)


async def together(gateway: Door, service: Service, count: int) -> list[tuple[str, int]]:
    """Cache-Status and body of requests that all arrive before the first has its answer."""
    service.gate.clear()
    first = asyncio.create_task(gateway.get(ECHO))
    await service.arrived.wait()
    others = [asyncio.create_task(gateway.get(ECHO)) for _ in range(count - 1)]
    while gateway.server.connections < count:  # noqa: ASYNC110 - a plain value of the server
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    service.gate.set()
    answers = await asyncio.gather(first, *others)
    return [(answer.headers["Cache-Status"], body["number"]) for answer, body in answers]


async def test_requests_for_the_same_are_one(gateway: Door, service: Service) -> None:
    answers = await together(gateway, service, 10)
    assert service.asked == 1
    assert answers[0] == ("tasklane; fwd=miss; stored", 1)
    for told, number in answers[1:]:
        assert number == 1
        assert told.startswith(("tasklane; fwd=miss; collapsed", "tasklane; hit"))


async def test_each_goes_by_itself_where_the_answer_is_not_for_all(
    gateway: Door, service: Service
) -> None:
    service.cache_control = "private"
    answers = await together(gateway, service, 5)
    assert sorted(number for _, number in answers) == [1, 2, 3, 4, 5]


async def test_nobody_waits_for_long(
    gateway: Door, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "WAIT_SECONDS", 0.01)
    service.gate.clear()
    first = asyncio.create_task(gateway.get(ECHO))
    await service.arrived.wait()
    service.arrived.clear()
    second = asyncio.create_task(gateway.get(ECHO))
    await service.arrived.wait()
    service.gate.set()
    await asyncio.gather(first, second)
    assert service.asked == 2


async def test_the_next_goes_on_when_the_first_client_leaves(
    gateway: Door, service: Service
) -> None:
    service.gate.clear()
    first = asyncio.create_task(gateway.get(ECHO))
    await service.arrived.wait()
    service.arrived.clear()
    second = asyncio.create_task(gateway.get(ECHO))
    while gateway.server.connections < 2:  # noqa: ASYNC110 - a plain value of the server
        await asyncio.sleep(0.01)
    first.cancel()
    await service.arrived.wait()
    service.gate.set()
    answer, body = await second
    assert (answer.status, body) == (200, {"number": 2})
