"""Several endpoints, and what becomes of a request when one of them fails."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from services.gateway.exchange import Timeouts
from services.gateway.upstream.checks import CheckSettings
from services.gateway.upstream.health import HealthSettings
from tests.service.gateway.wire.peers import (
    OK,
    SHORT,
    TIMEOUTS,
    Conversation,
    Door,
    Service,
    Talk,
    always_ok,
    header,
    open_door,
    serve,
    until,
)

GET = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
WEBSOCKET = b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
KEYED = b"POST /a HTTP/1.1\r\nHost: a\r\nIdempotency-Key: k\r\nContent-Length: 3\r\n\r\nabc"


@pytest.fixture
async def other() -> AsyncIterator[Service]:
    async with serve() as service:
        yield service


def gone() -> Service:
    """An address where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return Service(port=probe.getsockname()[1])


async def crash(conversation: Conversation) -> None:
    await conversation.request()
    conversation.reset()


async def test_load_is_shared(service: Service, other: Service) -> None:
    async with open_door(service, other) as door:
        clients = [await door.connect() for _ in range(20)]
        for _ in range(5):
            for client in clients:
                await client.send(GET)
            for client in clients:
                assert (await client.reply()).status == 200
        for client in clients:
            client.writer.close()
    assert len(service.requests) + len(other.requests) == 100
    assert min(len(service.requests), len(other.requests)) > 20


@pytest.mark.parametrize("request_", [GET, POST], ids=["GET", "POST"])
async def test_nobody_there(request_: bytes) -> None:
    async with open_door(gone(), gone()) as door:
        reply = await door.ask(request_)
        assert (reply.status, reply.code) == (503, "SERVICE_UNAVAILABLE")
        assert reply.header(b"retry-after") is not None
        await door.settled()
        assert door.policy.outcomes == ["refused"]


@pytest.mark.parametrize("request_", [GET, POST], ids=["GET", "POST"])
async def test_refused_connection_goes_to_the_other(service: Service, request_: bytes) -> None:
    """Nothing was sent: any method may go elsewhere."""
    async with open_door(gone(), service) as door:
        for _ in range(10):
            assert (await door.ask(request_)).status == 200
        await door.settled()
    assert len(service.requests) == 10


async def test_no_retry_where_the_route_allows_none(service: Service) -> None:
    async with open_door(gone(), service) as door:
        door.policy.set(retries=0)
        statuses = {(await door.ask(GET)).status for _ in range(30)}
    assert statuses == {200, 503}


@pytest.mark.parametrize(
    ("request_", "status"), [(GET, 200), (KEYED, 200), (POST, 502)], ids=["GET", "keyed", "POST"]
)
async def test_crash_under_a_request(
    service: Service, other: Service, request_: bytes, status: int
) -> None:
    service.talk = crash
    async with open_door(service, other) as door:
        statuses = [(await door.ask(request_)).status for _ in range(12)]
        await door.settled()
    assert set(statuses) <= {200, status}
    assert status in statuses
    if status == 502:
        # Each reached exactly one of them.
        assert len(service.requests) + len(other.requests) == 12
        assert len(service.requests) == statuses.count(502)
    else:
        assert other.bodies == ([b"abc"] * 12 if request_ is KEYED else [])


async def test_retries_have_an_end(service: Service, other: Service) -> None:
    service.talk = other.talk = crash
    async with open_door(service, other) as door:
        reply = await door.ask(GET)
        assert (reply.status, reply.code) == (502, "UPSTREAM_ERROR")
        await door.settled()
    assert len(service.requests) + len(other.requests) == 2


async def test_retries_have_a_budget(service: Service) -> None:
    """At most three at a time, or a fifth of what is under way: else they become the load."""
    everyone = asyncio.Event()

    async def talk(conversation: Conversation) -> None:
        await conversation.request()
        if len(service.requests) == 40:
            everyone.set()
        await everyone.wait()
        conversation.reset()

    service.talk = talk
    async with open_door(service) as door:
        replies = await asyncio.gather(*(door.ask(GET) for _ in range(40)))
        assert {reply.status for reply in replies} == {502}
        await door.settled()
    assert 40 < len(service.requests) <= 40 + 8


async def test_idle_connection_that_the_service_has_closed(door: Door, service: Service) -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.answer()

    service.talk = talk
    async with door.client() as client:
        for request in (GET, POST, GET):
            await client.send(request)
            assert (await client.reply()).status == 200
            await asyncio.sleep(0.02)
    assert service.connections == 3


async def test_idle_connection_that_dies_under_its_next_request(
    door: Door, service: Service
) -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.answer()
        if conversation.number < 3:
            await crash(conversation)
        await always_ok(conversation)

    service.talk = talk
    async with door.client() as client:
        for _ in range(4):
            await client.send(GET)
            assert (await client.reply()).status == 200
    await door.settled()
    assert door.policy.outcomes == ["ok"] * 4


async def test_post_is_never_sent_twice(door: Door, service: Service) -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.answer()
        await crash(conversation)

    service.talk = talk
    async with door.client() as client:
        await client.send(GET)
        await client.reply()
        await client.send(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        assert (await client.reply()).status == 502
    assert len(service.requests) == 2


async def test_large_body_is_not_replayed(service: Service, other: Service) -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.request()
        await conversation.reader.readexactly(70000)
        conversation.reset()

    service.talk = other.talk = talk
    async with open_door(service, other) as door:
        async with door.client() as client:
            await client.send(b"PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n")
            await client.send(b"x" * 100000)
            assert (await client.reply()).status == 502
        await door.settled()
    assert service.connections + other.connections == 1


async def test_half_an_answer_is_not_retried(service: Service, other: Service) -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.answer(b"HTTP/1.1 200 OK\r\nx")

    service.talk = other.talk = talk
    async with open_door(service, other) as door:
        assert (await door.ask(GET)).status == 502
    assert len(service.requests) + len(other.requests) == 1


async def test_connect_timeout_goes_to_the_other(service: Service) -> None:
    with socket.socket() as full:
        # A listener whose queue is full: the system does not answer further connections.
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        async with open_door(Service(port=port), service) as door:
            door.policy.set(timeouts=SHORT)
            assert {(await door.ask(GET)).status for _ in range(8)} == {200}
            await door.settled()
        async with open_door(Service(port=port)) as door:
            door.policy.set(timeouts=SHORT)
            reply = await door.ask(GET)
            assert (reply.status, reply.code) == (504, "UPSTREAM_TIMEOUT")
            await door.settled()
            assert door.policy.outcomes == ["connect_timeout"]
        for filler in fillers:
            filler.close()


async def test_failing_endpoint_is_ejected_and_comes_back(service: Service, other: Service) -> None:
    service.talk = crash
    health = HealthSettings(eject_after=3, base_ejection=0.3, slow_start=0.1)
    async with open_door(service, other, health=health) as door:
        while not door.upstreams["service"].endpoints[0].health.ejected_until:
            await door.ask(GET)
        before = len(service.requests)
        for _ in range(20):
            assert (await door.ask(GET)).status == 200
        assert len(service.requests) == before
        service.talk = always_ok
        await asyncio.sleep(0.35)
        # Its share begins small, and draws are random.
        for _ in range(2_000):
            assert (await door.ask(GET)).status == 200
            if len(service.requests) > before:
                break
        assert len(service.requests) > before


def failing(status: int) -> Talk:
    """Answers every request so, bodies and all."""

    async def talk(conversation: Conversation) -> None:
        while True:
            head = await conversation.request()
            await conversation.reader.readexactly(int(header(head, b"content-length") or 0))
            await conversation.send(b"HTTP/1.1 %d Bad\r\ncontent-length: 2\r\n\r\nno" % status)

    return talk


@pytest.mark.parametrize("status", [500, 502, 503, 504])
@pytest.mark.parametrize("request_", [GET, KEYED], ids=["GET", "keyed"])
async def test_failing_answer_is_passed_over_for_a_better_one(
    service: Service, other: Service, request_: bytes, status: int
) -> None:
    service.talk = failing(status)
    async with open_door(service, other, health=HealthSettings(eject_after=0)) as door:
        for _ in range(20):
            assert (await door.ask(request_)).status == 200
        await door.settled()
    assert service.requests
    assert len(other.requests) == 20


@pytest.mark.parametrize(
    ("request_", "status"), [(POST, 503), (GET, 501), (GET, 429)], ids=["POST", "501", "429"]
)
async def test_failing_answer_that_has_to_do(
    service: Service, other: Service, request_: bytes, status: int
) -> None:
    service.talk = failing(status)
    async with open_door(service, other, health=HealthSettings(eject_after=0)) as door:
        statuses = [(await door.ask(request_)).status for _ in range(20)]
        await door.settled()
    assert set(statuses) == {200, status}
    assert len(service.requests) == statuses.count(status)


async def test_failing_answer_where_nobody_has_a_better_one(
    service: Service, other: Service
) -> None:
    """Each is asked once, and the breaker, which is for who cannot be reached, stays closed."""
    service.talk = other.talk = failing(503)
    async with open_door(service, other, breaker_threshold=3) as door:
        assert [(await door.ask(GET)).status for _ in range(8)] == [503] * 8
        await door.settled()
        assert not door.upstreams["service"].breaker.is_open
        assert door.policy.outcomes == ["ok"] * 8
    assert len(service.requests) + len(other.requests) <= 16


async def test_unfinished_failing_answer_is_passed_over(service: Service, other: Service) -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.request()
        await conversation.send(b"HTTP/1.1 500 Bad\r\ncontent-length: 9\r\n\r\nno")
        await conversation.reader.read()

    service.talk = talk
    async with open_door(service, other) as door:
        for _ in range(20):
            assert (await door.ask(GET)).status == 200
        await door.settled()
        await service.left()
    assert service.requests


async def test_endpoint_that_answers_with_errors_is_ejected(
    service: Service, other: Service
) -> None:
    """It is quick, so it would draw ever more of the load."""
    service.talk = failing(500)
    health = HealthSettings(eject_after=3, base_ejection=60)
    async with open_door(service, other, health=health) as door:
        statuses = [(await door.ask(POST)).status for _ in range(60)]
        await door.settled()
    assert statuses.count(500) == len(service.requests) == 3


async def test_silent_endpoint_is_left_for_one_that_answers(
    service: Service, other: Service
) -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.request()
        await conversation.reader.read()

    service.talk = talk
    async with open_door(service, other, health=HealthSettings(eject_after=0)) as door:
        door.policy.set(timeouts=replace(TIMEOUTS, first_byte=0.1))
        replies = {(await door.ask(GET)).status for _ in range(12)}
        keyless = {(await door.ask(POST)).status for _ in range(12)}
        await door.settled()
        await service.left()
    assert replies == {200}
    assert keyless == {200, 504}


async def test_panic_mode_ignores_health(service: Service, other: Service) -> None:
    service.talk = other.talk = crash
    health = HealthSettings(eject_after=1, base_ejection=60)
    async with open_door(service, other, health=health) as door:
        for _ in range(6):
            assert (await door.ask(GET)).status == 502
        service.talk = other.talk = always_ok
        for _ in range(10):
            assert (await door.ask(GET)).status == 200
    assert service.bodies == other.bodies == []


async def test_breaker_opens_and_closes(service: Service) -> None:
    service.talk = crash
    async with open_door(service, breaker_threshold=4, breaker_seconds=0.2) as door:
        door.policy.set(retries=0)
        statuses = [(await door.ask(POST)).status for _ in range(8)]
        assert statuses == [502] * 4 + [503] * 4
        assert len(service.requests) == 4
        assert door.policy.outcomes[-1] == "unavailable"
        service.talk = always_ok
        await asyncio.sleep(0.25)
        assert (await door.ask(POST)).status == 200
        assert (await door.ask(POST)).status == 200
        assert not door.upstreams["service"].breaker.is_open


async def test_endpoint_that_dies_under_many_requests_shuts_nobody_out(
    service: Service, other: Service
) -> None:
    """Its failures come all at once; the breaker is for a service of which nobody is left."""
    everyone, let_go = asyncio.Event(), asyncio.Event()

    async def talk(conversation: Conversation) -> None:
        while (await conversation.request()).startswith(b"GET"):
            await conversation.send(OK)
        if len(service.requests) + len(other.requests) == 30:
            everyone.set()
        if conversation.service is service:
            await everyone.wait()
            conversation.reset()
        await let_go.wait()
        await conversation.send(OK)

    service.talk = other.talk = talk
    async with open_door(service, other, breaker_threshold=5, breaker_seconds=60) as door:
        asked = [asyncio.create_task(door.ask(POST)) for _ in range(30)]
        await until(lambda: door.policy.outcomes.count("reset") >= 10)
        for _ in range(10):
            assert (await door.ask(GET)).status == 200
        let_go.set()
        statuses = {reply.status for reply in await asyncio.gather(*asked)}
        await door.settled()
    assert statuses == {200, 502}


async def test_silent_websockets_are_no_failures_of_the_service(service: Service) -> None:
    """Any client can open some and say nothing: that must shut nobody else out."""

    async def talk(conversation: Conversation) -> None:
        await conversation.answer(
            b"HTTP/1.1 101 Go\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
        )
        await conversation.reader.read(-1)

    service.talk = talk
    health = HealthSettings(eject_after=3)
    async with open_door(service, breaker_threshold=3, breaker_seconds=60, health=health) as door:
        door.policy.set(timeouts=SHORT)
        for _ in range(4):
            async with door.client() as client:
                await client.send(WEBSOCKET)
                assert (await client.head()).status == 101
                assert await client.is_closed()
        assert door.policy.outcomes == ["timeout"] * 4
        assert not door.upstreams["service"].breaker.is_open
        assert door.upstreams["service"].endpoints[0].health.clean
        service.talk = always_ok
        assert (await door.ask(GET)).status == 200


async def test_more_requests_than_connections_are_shed(service: Service) -> None:
    everyone = asyncio.Event()

    async def talk(conversation: Conversation) -> None:
        await conversation.request()
        await everyone.wait()
        await conversation.send(OK)

    service.talk = talk
    async with open_door(service, max_connections=2) as door:
        asking = [asyncio.create_task(door.ask(GET)) for _ in range(5)]
        await until(lambda: sum(task.done() for task in asking) == 3)
        everyone.set()
        statuses = sorted([reply.status for reply in await asyncio.gather(*asking)])
        assert statuses == [200, 200, 503, 503, 503]
        await door.settled()


async def test_who_waits_in_a_crowd_is_not_told_that_nobody_is_there(service: Service) -> None:
    """It may take longer than a connection may take to open until a crowd is through."""

    async def talk(conversation: Conversation) -> None:
        while True:
            await conversation.request()
            await asyncio.sleep(0.02)
            await conversation.send(OK)

    service.talk = talk
    async with open_door(service) as door:
        queue = door.upstreams["service"].endpoints[0].queue
        # Nobody opens a connection for them, so they share one.
        queue._room = lambda: int(not door.upstreams["service"].endpoints[0].connections)
        door.policy.set(timeouts=Timeouts(connect=0.1, first_byte=5, idle=5, total=5))
        asking = [asyncio.create_task(door.ask(GET)) for _ in range(12)]
        replies = await asyncio.gather(*asking)
        assert [reply.status for reply in replies] == [200] * 12
        assert service.connections == 1
        await door.settled()


async def test_check_takes_an_endpoint_out_before_a_request_finds_out(
    service: Service, other: Service
) -> None:
    checked: list[bytes] = []
    ill = asyncio.Event()

    async def talk(conversation: Conversation) -> None:
        while True:
            head = await conversation.request()
            if not head.startswith(b"GET /health "):
                await conversation.send(OK)
                continue
            service.requests.remove(head)
            checked.append(head)
            answer = OK
            if ill.is_set():
                answer = b"HTTP/1.1 503 Draining\r\ncontent-length: 0\r\n\r\n"
            await conversation.send(answer)

    service.talk = talk
    check = CheckSettings("/health", interval=0.05, timeout=1, fail_after=2)
    health = HealthSettings(slow_start=0.01)
    async with open_door(service, other, check=check, health=health) as door:
        state = door.upstreams["service"].endpoints[0].health
        await until(lambda: checked)
        assert not state.ejected_until
        ill.set()
        await until(lambda: state.ejected_until)
        for _ in range(10):
            await door.ask(GET)
        assert service.requests == []
        ill.clear()
        await until(lambda: not state.ejected_until)
        await asyncio.sleep(0.05)
        for _ in range(30):
            await door.ask(GET)
        assert service.requests
        await door.settled()


@pytest.mark.parametrize("how", ["silent", "gone", "crashing"])
async def test_check_that_gets_no_answer(service: Service, how: str) -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.request()
        if how == "crashing":
            conversation.reset()
        await conversation.reader.read(-1)

    service.talk = talk
    check = CheckSettings("/health", interval=0.02, timeout=0.1, fail_after=1)
    async with open_door(gone() if how == "gone" else service, check=check) as door:
        state = door.upstreams["service"].endpoints[0].health
        await until(lambda: state.ejected_until)
    await service.left()
