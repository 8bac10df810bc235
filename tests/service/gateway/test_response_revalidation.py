"""Stored answers past their time: the service is asked about them, and they stand in for it."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests import tokens
from tests.service.gateway.door import GENEROUS, Door, Upstream, door, upstream

CONFIG = (
    GENEROUS
    + """
[upstreams.echo]
endpoints = ["{url}"]
timeouts = { connect = 1, first_byte = 0.2, idle = 1, total = 2 }
breaker = { after = 0 }
[[routes]]
prefix = "/strict"
upstream = "echo"
auth = "optional"
cache = true
[[routes]]
prefix = "/echo"
upstream = "echo"
auth = "optional"
retries = 0
cache = true
stale_if_error = 100
"""
)
ECHO, STRICT = "/api/v1/echo/a", "/api/v1/strict/a"


class Service:
    """A resource with validators; `fault` is what it does in place of answering."""

    def __init__(self, running: Upstream) -> None:
        self.running = running
        self.number = 1
        self.validators = {"ETag": '"1"'}
        self.cache_control = "public, max-age=60"
        self.on_304: dict[str, str] = {}
        self.conditions: list[tuple[str | None, str | None]] = []
        self.fault = ""
        for path in ("/v1/echo/a", "/v1/strict/a"):
            running.answers[path] = self.answer

    async def answer(self, request: web.Request) -> web.StreamResponse:
        asked = request.headers.get("If-None-Match")
        since = request.headers.get("If-Modified-Since")
        self.conditions.append((asked, since))
        if self.fault == "reset":
            assert request.transport is not None
            request.transport.abort()
        if self.fault == "slow":
            await asyncio.sleep(5)
        if self.fault.isdigit():
            return web.Response(status=int(self.fault), text="<h1>broken")
        headers = {"Cache-Control": self.cache_control, **self.validators}
        tag, date = self.validators.get("ETag"), self.validators.get("Last-Modified")
        if (asked is not None and asked == tag) or (since is not None and since == date):
            return web.Response(status=304, headers={**headers, **self.on_304})
        return web.json_response({"number": self.number}, headers=headers)


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


def later(gateway: Door, seconds: float) -> None:
    """Lets the cache believe that so much time has passed."""
    policy: Any = gateway.server.policy
    policy._gateway.cache._clock = lambda: time.monotonic() + seconds


@pytest.mark.parametrize(
    ("validators", "conditions"),
    [
        ({"ETag": '"1"'}, ('"1"', None)),
        ({"ETag": 'W/"1"', "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}, ('W/"1"', None)),
        (
            {"Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"},
            (None, "Thu, 01 Jan 2026 00:00:00 GMT"),
        ),
    ],
    ids=["etag", "weak etag", "date"],
)
async def test_what_is_still_good_is_not_sent_again(
    gateway: Door,
    service: Service,
    validators: dict[str, str],
    conditions: tuple[str | None, str | None],
) -> None:
    service.validators = validators
    await gateway.get(ECHO)
    service.number, service.on_304 = 2, {"X-Region": "north"}
    later(gateway, 61)
    answer, body = await gateway.get(ECHO)
    assert (answer.status, body) == (200, {"number": 1})
    assert service.conditions[1:] == [conditions]
    assert answer.headers["Cache-Status"] == "tasklane; fwd=stale; fwd-status=304; stored"
    assert answer.headers["X-Region"] == "north"
    assert answer.headers["Content-Type"].startswith("application/json")
    # It is fresh again, with what the 304 has said.
    answer, body = await gateway.get(ECHO)
    assert answer.headers["Cache-Status"].startswith("tasklane; hit; ttl=")
    assert answer.headers["X-Region"] == "north"
    assert (body, len(service.conditions)) == ({"number": 1}, 2)
    assert 'cache_requests_total{result="revalidated"} 1.0' in await gateway.metrics()


async def test_what_has_changed_replaces_what_is_stored(gateway: Door, service: Service) -> None:
    await gateway.get(ECHO)
    service.number, service.validators = 2, {"ETag": '"2"'}
    later(gateway, 61)
    for told in ("tasklane; fwd=stale; stored", "tasklane; hit"):
        answer, body = await gateway.get(ECHO)
        assert body == {"number": 2}
        assert answer.headers["Cache-Status"].startswith(told)


@pytest.mark.parametrize(("tag", "status"), [('"1"', 304), ('"other"', 200)])
async def test_the_clients_own_condition_is_held_against_what_is_confirmed(
    gateway: Door, service: Service, tag: str, status: int
) -> None:
    await gateway.get(ECHO)
    later(gateway, 61)
    answer, body = await gateway.get(ECHO, headers={"If-None-Match": tag})
    assert answer.status == status
    assert body in (None, "", b"", {"number": 1})
    assert service.conditions[1:] == [('"1"', None)]


async def test_who_demands_a_new_answer_has_the_service_asked(
    gateway: Door, service: Service
) -> None:
    await gateway.get(ECHO)
    answer, body = await gateway.get(ECHO, headers={"Cache-Control": "no-cache"})
    assert (answer.status, body) == (200, {"number": 1})
    assert answer.headers["Cache-Status"].startswith("tasklane; fwd=request; fwd-status=304")
    assert service.conditions[1:] == [('"1"', None)]


async def test_a_304_that_forbids_keeping_is_obeyed(gateway: Door, service: Service) -> None:
    await gateway.get(ECHO)
    service.on_304 = {"Cache-Control": "no-store"}
    later(gateway, 61)
    answer, body = await gateway.get(ECHO)
    assert (answer.status, body) == (200, {"number": 1})
    await gateway.get(ECHO)
    assert service.conditions[2] == (None, None)


async def test_a_304_of_something_else_is_no_answer(gateway: Door, service: Service) -> None:
    await gateway.get(STRICT)
    service.on_304 = {"ETag": '"9"'}
    later(gateway, 61)
    answer, body = await gateway.get(STRICT)
    assert (answer.status, body["error"]["code"]) == (502, "UPSTREAM_ERROR")
    answer, body = await gateway.get(STRICT)
    assert (answer.status, body) == (200, {"number": 1})


@pytest.mark.parametrize("fault", ["reset", "slow", "500", "502", "503", "504"])
async def test_a_stored_answer_stands_in_for_a_service_that_fails(
    gateway: Door, service: Service, fault: str
) -> None:
    await gateway.get(ECHO)
    service.fault = fault
    later(gateway, 100)
    answer, body = await gateway.get(ECHO)
    assert (answer.status, body) == (200, {"number": 1})
    told = answer.headers["Cache-Status"]
    assert re.fullmatch(r"tasklane; fwd=stale; detail=stale-if-error; ttl=-\d+", told)
    assert int(answer.headers["Age"]) >= 100
    assert 'cache_requests_total{result="stale"} 1.0' in await gateway.metrics()
    service.fault = ""
    answer, _ = await gateway.get(ECHO)
    assert "fwd-status=304" in answer.headers["Cache-Status"]


@pytest.mark.parametrize(
    ("path", "seconds", "cache_control", "fault"),
    [
        (STRICT, 61, "public, max-age=60", "503"),
        (ECHO, 161, "public, max-age=60", "503"),
        (ECHO, 61, "public, max-age=60, must-revalidate", "503"),
        (ECHO, 61, "public, max-age=60, proxy-revalidate", "503"),
        (ECHO, 61, "public, s-maxage=60", "503"),
        (ECHO, 61, "public, max-age=60", "404"),
        (ECHO, 61, "public, max-age=60", "429"),
    ],
    ids=str,
)
async def test_no_stored_answer_stands_in(
    gateway: Door, service: Service, path: str, seconds: float, cache_control: str, fault: str
) -> None:
    service.cache_control = cache_control
    await gateway.get(path)
    service.fault = fault
    later(gateway, seconds)
    answer, _ = await gateway.get(path)
    assert answer.status == int(fault)


@pytest.mark.parametrize(
    "headers",
    [{"Authorization": "Bearer "}, {"Cookie": "a=b"}, {"Cache-Control": "no-cache"}],
    ids=str,
)
async def test_no_stored_answer_stands_in_for_one_of_another(
    gateway: Door, service: Service, headers: dict[str, str]
) -> None:
    await gateway.get(ECHO)
    service.fault = "503"
    later(gateway, 61)
    if "Authorization" in headers:
        headers = {"Authorization": f"Bearer {tokens.token()}"}
    answer, _ = await gateway.get(ECHO, headers=headers)
    assert answer.status == 503
    # The credential goes on with its own conditions, and none of the cache's.
    if "Cache-Control" not in headers:
        assert service.conditions[-1] == (None, None)


async def test_requests_for_the_same_stale_answer_ask_once(gateway: Door, service: Service) -> None:
    await gateway.get(ECHO)
    later(gateway, 61)
    answers = await asyncio.gather(*(gateway.get(ECHO) for _ in range(5)))
    assert [body for _, body in answers] == [{"number": 1}] * 5
    assert len(service.conditions) == 2
