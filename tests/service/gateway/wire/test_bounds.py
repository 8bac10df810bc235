"""Time and numbers: who is too slow, too many, or last at the door."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from services.gateway.downstream.limits import ServerLimits
from services.gateway.exchange import Answer, Decision, Exchange
from tests.service.gateway.wire.peers import (
    LIMITS,
    OK,
    SHORT,
    Conversation,
    Door,
    Service,
    open_door,
    until,
)

GET = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"


async def drip(door: Door, beginning: bytes, byte: bytes) -> tuple[int, str]:
    """Sends `beginning`, then `byte` every now and then; the answer that ends it."""
    async with door.client() as client:
        await client.send(beginning)

        async def go_on() -> None:
            while True:
                await asyncio.sleep(0.05)
                await client.send(byte)

        task = asyncio.create_task(go_on())
        try:
            reply = await client.reply()
        finally:
            task.cancel()
        assert reply.closes
        return reply.status, reply.code


SLOW: dict[str, tuple[bytes, bytes]] = {
    "request line": (b"GET /", b"a"),
    "headers": (b"GET / HTTP/1.1\r\nHost: a\r\n", b"X: y\r\n"),
    "counted body": (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n", b"x"),
    "body in chunks": (
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"1\r\nx\r\n",
    ),
    "body in one endless chunk": (
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n",
        b"x",
    ),
    "trailers": (
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ",
        b"y",
    ),
}


@pytest.mark.parametrize("case", SLOW, ids=lambda case: case.replace(" ", "-"))
async def test_slow_request_is_cut(door: Door, service: Service, case: str) -> None:
    assert await drip(door, *SLOW[case]) == (408, "REQUEST_TIMEOUT")
    await door.settled()
    assert service.connections == 0
    assert door.policy.outcomes == ["slow_client"]


async def test_slow_upload_that_has_reached_the_service_is_cut_there_too(
    door: Door, service: Service
) -> None:
    beginning = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 900000\r\n\r\n" + b"x" * 100000
    assert await drip(door, beginning, b"x") == (408, "REQUEST_TIMEOUT")
    await door.settled()
    await service.left()
    assert (service.connections, service.bodies) == (1, [])


async def test_upload_at_a_fair_rate_takes_its_time(service: Service) -> None:
    limits = replace(LIMITS, min_body_rate=1000)
    async with open_door(service, limits=limits) as door, door.client() as client:
        await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000\r\n\r\n")
        for _ in range(20):
            await asyncio.sleep(0.04)
            await client.send(b"x" * 100)
        assert (await client.reply()).status == 200


@pytest.mark.parametrize("decided", ["at-once", "later"])
@pytest.mark.parametrize("body", ["with-the-head", "after-the-head"])
async def test_client_whose_body_is_complete_may_wait_for_a_slow_service(
    door: Door, service: Service, body: str, decided: str
) -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.request()
        await conversation.reader.readexactly(4)
        await asyncio.sleep(4 * LIMITS.rate_grace)
        await conversation.send(OK)

    async def decide(_: Exchange) -> None:
        await asyncio.sleep(0.1)

    service.talk = talk
    if decided == "later":
        door.policy.decide = decide
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n"
    async with door.client() as client:
        if body == "with-the-head":
            await client.send(head + b"body")
        else:
            await client.send(head)
            await asyncio.sleep(0.02)
            await client.send(b"body")
        assert (await client.reply()).status == 200
    await door.settled()
    assert door.policy.outcomes == ["ok"]


async def test_idle_connection_is_closed_without_a_word(service: Service) -> None:
    async with open_door(service, limits=replace(LIMITS, idle_timeout=0.1)) as door:
        async with door.client() as client:
            assert await client.is_closed()
        async with door.client() as client:
            await client.send(GET)
            await client.reply()
            assert await client.is_closed()
        await door.settled()
    assert door.policy.outcomes == ["ok"]


async def test_client_that_does_not_read_is_dropped(door: Door, service: Service) -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.request()
        await conversation.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await conversation.send(b"x" * 100000)

    service.talk = talk
    async with door.client() as client:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await client.send(GET)
        await until(lambda: not door.server.connections)
    await door.settled()
    assert door.policy.outcomes == ["slow_client"]
    await service.left()


async def test_client_that_does_not_read_our_own_answer_is_dropped(door: Door) -> None:
    async def decide(_: Exchange) -> Decision | None:
        return Answer(200, [], b"x" * (16 << 20))

    door.policy.decide = decide
    async with door.client() as client:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await client.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        await until(lambda: not door.server.connections)


async def test_service_that_stops_in_the_middle_of_an_upload(door: Door, service: Service) -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.request()
        await asyncio.sleep(60)

    service.talk = talk
    door.policy.set(max_body=1 << 30, timeouts=SHORT)
    async with door.client() as client:
        await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n")
        for _ in range(400):
            client.writer.write(b"x" * 50000)
        assert (await client.reply()).status == 504
    await door.settled()
    assert door.policy.outcomes == ["timeout"]


async def test_slow_answer_is_cut_by_the_total(door: Door, service: Service) -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.answer(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
        while True:
            await asyncio.sleep(0.02)
            await conversation.send(b"x")

    service.talk = talk
    door.policy.set(timeouts=type(SHORT)(connect=1, first_byte=1, idle=1, total=0.3))
    async with door.client() as client:
        await client.send(GET)
        with pytest.raises(asyncio.IncompleteReadError):
            await client.reply()
    await door.settled()
    assert door.policy.outcomes == ["timeout"]


async def test_time_that_the_client_takes_is_not_the_services(door: Door, service: Service) -> None:
    size = 24 << 20

    async def talk(conversation: Conversation) -> None:
        await conversation.answer(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
        await conversation.send(b"x" * size)

    service.talk = talk
    door.policy.set(timeouts=type(SHORT)(connect=3, first_byte=3, idle=0.6, total=0.7))
    async with door.client() as client:
        await client.send(GET)
        await client.head()
        got = 0
        while got < size:
            got += len(await client.reader.readexactly(min(1 << 20, size - got)))
            await asyncio.sleep(0.05)
    await door.settled()
    assert door.policy.outcomes == ["ok"]


@pytest.mark.parametrize(
    "limits",
    [replace(LIMITS, max_connections=2), replace(LIMITS, max_connections_per_address=2)],
    ids=["in all", "per address"],
)
async def test_too_many_connections(service: Service, limits: ServerLimits) -> None:
    async with open_door(service, limits=limits) as door:
        clients = [await door.connect() for _ in range(2)]
        for client in clients:
            await client.send(GET)
            assert (await client.reply()).status == 200
        async with door.client() as third:
            reply = await third.reply()
            assert (reply.status, reply.code) == (503, "SERVICE_UNAVAILABLE")
            assert reply.header(b"retry-after") is not None
            assert await third.is_closed()
        clients[0].writer.close()
        await until(lambda: door.server.connections == 1)
        assert (await door.ask(GET)).status == 200
        clients[1].writer.close()
        await door.settled()


async def test_drain_finishes_what_is_under_way(door: Door, service: Service) -> None:
    goes_on = asyncio.Event()

    async def talk(conversation: Conversation) -> None:
        await conversation.request()
        await goes_on.wait()
        await conversation.send(OK)

    service.talk = talk
    async with door.client() as busy, door.client() as idle, door.client() as late:
        await busy.send(GET)
        await late.send(b"GET /a HTTP/1.1\r\n")
        await asyncio.sleep(0.05)
        stopping = asyncio.create_task(door.server.stop(3))
        await late.send(b"Host: a\r\n\r\n")
        await asyncio.sleep(0.02)
        goes_on.set()
        for client in (busy, late):
            reply = await client.reply()
            assert (reply.status, reply.body, reply.closes) == (200, b"ok", True)
        assert await idle.is_closed()
        await stopping
        with pytest.raises(ConnectionError):
            await door.connect()
    await door.settled()


async def test_drain_hears_who_has_just_come(door: Door) -> None:
    """A connection that was accepted a moment before has its request on the way."""
    async with door.client() as new, door.client() as silent, door.client() as used:
        await used.send(GET)
        assert (await used.reply()).status == 200
        await until(lambda: door.server.connections == 3)
        stopping = asyncio.create_task(door.server.stop(3))
        await asyncio.sleep(0.05)
        await new.send(GET)
        reply = await new.reply()
        assert (reply.status, reply.closes) == (200, True)
        # Whoever has been told, or says nothing, does not hold up the end.
        assert await used.is_closed()
        assert await silent.is_closed()
        await stopping


async def test_announced_drain_still_serves(door: Door) -> None:
    async with door.client() as before:
        await before.send(GET)
        assert not (await before.reply()).closes
        door.server.begin_drain()
        await before.send(GET)
        assert (await before.reply()).closes
    assert (await door.ask(GET)).closes


async def test_drain_has_an_end(door: Door, service: Service) -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.request()
        await conversation.reader.read(-1)

    service.talk = talk
    async with door.client() as client:
        await client.send(GET)
        await asyncio.sleep(0.05)
        await door.server.stop(0.1)
        assert await client.is_closed()
    await door.settled()
    assert door.policy.finished[0][1] == 499


FRAME = b"\x81\x05hello"
MASKED = b"\x81\x85\0\0\0\0hello"


@pytest.mark.parametrize("cut", [0, 1, 4], ids=["between", "in a head", "in a frame"])
async def test_drain_says_goodbye_to_websockets(door: Door, service: Service, cut: int) -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.answer(
            b"HTTP/1.1 101 Go\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
            + FRAME
            + FRAME[:cut]
        )
        while data := await conversation.reader.read(100):
            service.received += data

    service.talk = talk
    async with door.client() as client:
        await client.send(
            b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        )
        assert (await client.head()).status == 101
        await client.send(MASKED)
        await until(lambda: service.received == MASKED)
        stopping = asyncio.create_task(door.server.stop(3))
        # Where a frame is under way to the client, another one would be garbage.
        goodbye = b"" if cut else b"\x88\x02\x03\xe9"
        assert await client.rest() == FRAME + FRAME[:cut] + goodbye
        await stopping
    await door.settled()
    await service.left()
    assert service.received == MASKED + b"\x88\x82\0\0\0\0\x03\xe9"
    assert door.policy.outcomes == ["ok"]
