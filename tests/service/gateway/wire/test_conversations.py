"""Honest traffic: keep-alive, pipelining, bodies both ways, upgrades, and who waits for whom."""

from __future__ import annotations

import asyncio
import tracemalloc

import pytest

from services.gateway.exchange import Answer, Decision, Exchange, Timeouts
from tests.service.gateway.wire.peers import (
    OK,
    SHORT,
    Conversation,
    Door,
    Service,
    header,
    read_chunked,
)

GET = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"


def post(body: bytes, path: bytes = b"/a") -> bytes:
    return b"POST %b HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (path, len(body), body)


async def test_both_connections_are_kept(door: Door, service: Service) -> None:
    async with door.client() as client:
        for _ in range(5):
            await client.send(GET)
            reply = await client.reply()
            assert (reply.status, reply.body, reply.closes) == (200, b"ok", False)
    await door.settled()
    assert service.connections == 1
    assert [(s, i, o) for _, s, i, o in door.policy.finished] == [(200, 0, 2)] * 5


async def test_the_service_sees_what_was_sent_and_its_own_name(
    door: Door, service: Service
) -> None:
    await door.ask(
        b"PUT /a/b?c=%20 HTTP/1.1\r\nHost: x\r\nX-One: 1\r\nContent-Length: 3\r\n\r\nabc"
    )
    assert service.requests == [
        b"PUT /a/b?c=%%20 HTTP/1.1\r\nhost: 127.0.0.1:%d\r\nx-one: 1\r\ncontent-length: 3\r\n\r\n"
        % service.port
    ]
    assert service.bodies == [b"abc"]


async def test_pipelined_requests_are_answered_in_order(door: Door, service: Service) -> None:
    async def talk(conversation: Conversation) -> None:
        while True:
            head = await conversation.request()
            number = int(head[5:7])
            await asyncio.sleep(0.02 if number % 3 == 0 else 0)
            await conversation.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n%02d" % number)

    service.talk = talk
    async with door.client() as client:
        await client.send(
            b"".join(b"GET /%02d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(20))
        )
        for number in range(20):
            assert (await client.reply()).body == b"%02d" % number
    assert len(service.requests) == 20


async def test_pipelined_answers_of_our_own_do_not_nest(door: Door) -> None:
    async def decide(_: Exchange) -> Decision | None:
        return Answer(200, [], b"x")

    door.policy.decide = decide
    async with door.client() as client:
        await client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 3000)
        for _ in range(3000):
            assert (await client.reply()).body == b"x"


async def test_client_that_pipelines_without_reading_is_not_read(door: Door) -> None:
    async def decide(_: Exchange) -> Decision | None:
        return Answer(200, [], b"x" * 60000)

    door.policy.decide = decide
    async with door.client() as client:
        client.writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 20000)
        await asyncio.sleep(0.2)
        assert len(door.policy.admitted) < 2000
        client.reset()
    await door.settled()


BODIES: dict[str, bytes] = {
    "counted": b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nhello world",
    "in chunks": b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5;x=y\r\nhello\r\n1\r\n \r\n00005\r\nworld\r\n0\r\nX: y\r\n\r\n",
    "after 100-continue": b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n"
    b"Expect: 100-Continue\r\n\r\nhello world",
}


@pytest.mark.parametrize("case", BODIES, ids=lambda case: case.replace(" ", "-"))
@pytest.mark.parametrize("slow", [False, True], ids=["at once", "byte by byte"])
async def test_bodies(door: Door, service: Service, case: str, slow: bool) -> None:
    async with door.client() as client:
        for _ in range(2):
            if slow:
                for byte in range(len(BODIES[case])):
                    await client.send(BODIES[case][byte : byte + 1])
                    await asyncio.sleep(0)
            else:
                await client.send(BODIES[case])
            reply = await client.reply()
            if reply.status == 100:
                reply = await client.reply()
            assert reply.status == 200
    assert service.bodies == [b"hello world"] * 2
    # It was complete before the service saw it, so it is counted, however it came.
    assert [header(head, b"content-length") for head in service.requests] == [b"11"] * 2
    assert [count for *_, count, _ in door.policy.finished] == [11, 11]


@pytest.mark.parametrize("empty", [b"Content-Length: 0\r\n\r\n", b"\r\n"])
async def test_empty_body_of_a_post_is_declared(door: Door, service: Service, empty: bytes) -> None:
    await door.ask(b"POST /a HTTP/1.1\r\nHost: a\r\n" + empty)
    assert header(service.requests[0], b"content-length") == b"0"


async def test_continue_is_sent_only_when_the_body_is_wanted(door: Door) -> None:
    head = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
    async with door.client() as client:
        await client.send(head)
        assert (await client.head()).status == 100
        await client.send(b"hello")
        assert (await client.reply()).status == 200
        door.policy.set(max_body=4)
        await client.send(head)
        reply = await client.reply()
        assert (reply.status, reply.code, reply.closes) == (413, "PAYLOAD_TOO_LARGE", True)


async def test_too_large_by_its_own_account(door: Door, service: Service) -> None:
    door.policy.set(max_body=10)
    async with door.client() as client:
        await client.send(post(b"x" * 11))
        reply = await client.reply()
        assert (reply.status, reply.code) == (413, "PAYLOAD_TOO_LARGE")
        # So little of it was left that reading it is cheaper than a new connection.
        assert not reply.closes
        await client.send(post(b"x" * 10))
        assert (await client.reply()).status == 200
        await client.send(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\n\r\n")
        reply = await client.reply()
        assert (reply.status, reply.closes) == (413, True)
    assert len(service.requests) == 1
    await door.settled()
    assert door.policy.outcomes == ["too_large", "ok", "too_large"]


async def test_upload_refused_at_once_gets_its_answer_though_it_goes_on(door: Door) -> None:
    door.policy.set(max_body=10)
    async with door.client() as client:
        client.writer.write(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 8000000\r\n\r\n")
        client.writer.write(b"x" * 8000000)
        assert (await client.reply()).status == 413
        assert await client.is_closed()


async def test_too_large_by_the_size_of_a_chunk(door: Door, service: Service) -> None:
    """It is not read to its end first."""
    door.policy.set(max_body=100000)
    async with door.client() as client:
        await client.send(
            b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n100000001\r\nx"
        )
        reply = await client.reply()
        assert (reply.status, reply.code, reply.closes) == (413, "PAYLOAD_TOO_LARGE", True)
    await door.settled()
    assert service.connections == 0


async def test_too_large_in_chunks(door: Door, service: Service) -> None:
    door.policy.set(max_body=100000)
    async with door.client() as client:
        await client.send(
            b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
            + (b"4000\r\n" + b"x" * 0x4000 + b"\r\n") * 10
        )
        reply = await client.reply()
        assert (reply.status, reply.code, reply.closes) == (413, "PAYLOAD_TOO_LARGE", True)
        assert await client.is_closed()
    await door.settled()
    assert service.bodies == []
    assert door.policy.outcomes == ["too_large"]


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
@pytest.mark.parametrize("option", [None, b"close", b"keep-alive", b"Keep-Alive, X"])
async def test_who_keeps_the_connection(door: Door, version: bytes, option: bytes | None) -> None:
    kept = option != b"close" and (version == b"1.1" or option is not None)
    line = b"Connection: %b\r\n" % option if option else b""
    async with door.client() as client:
        await client.send(b"GET /a HTTP/%b\r\nHost: a\r\n%b\r\n" % (version, line))
        reply = await client.reply()
        expected = b"close" if not kept else b"keep-alive" if version == b"1.0" else None
        assert reply.header(b"connection") == expected
        if not kept:
            assert await client.is_closed()
        else:
            await client.send(GET)
            assert (await client.reply()).status == 200


async def test_policy_that_has_to_wait(door: Door) -> None:
    async def decide(_: Exchange) -> Decision | None:
        await asyncio.sleep(0.01)
        return None

    door.policy.decide = decide
    async with door.client() as client:
        await client.send(post(b"x" * 200000) + GET)
        assert (await client.reply()).body == b"ok"
        assert (await client.reply()).body == b"ok"


SIZE = 64 << 20


async def test_64_megabytes_up_in_little_memory(door: Door, service: Service) -> None:
    async def talk(conversation: Conversation) -> None:
        head = await conversation.request()
        left = int(header(head, b"content-length") or b"")
        while left:
            await asyncio.sleep(0)
            left -= len(await conversation.reader.read(1 << 20))
        await conversation.send(OK)

    service.talk = talk
    door.policy.set(max_body=SIZE)
    block = b"x" * (1 << 18)
    async with door.client() as client:
        await client.send(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % SIZE)
        tracemalloc.start()
        for _ in range(SIZE // len(block)):
            await client.send(block)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert (await client.reply()).status == 200
    assert peak < 12 << 20
    assert door.policy.finished[0][2] == SIZE


@pytest.mark.parametrize("chunked", [False, True], ids=["counted", "in chunks"])
async def test_64_megabytes_down_in_little_memory(
    door: Door, service: Service, chunked: bool
) -> None:
    block = b"x" * (1 << 18)

    async def talk(conversation: Conversation) -> None:
        await conversation.request()
        framing = b"transfer-encoding: chunked" if chunked else b"content-length: %d" % SIZE
        await conversation.send(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n")
        for _ in range(SIZE // len(block)):
            await conversation.send(b"40000\r\n" + block + b"\r\n" if chunked else block)
        if chunked:
            await conversation.send(b"0\r\n\r\n")

    service.talk = talk
    async with door.client() as client:
        await client.send(GET)
        head = await client.head()
        tracemalloc.start()
        got = 0
        if chunked:
            while size := int(await client.reader.readuntil(b"\r\n"), 16):
                got += len(await client.reader.readexactly(size + 2)) - 2
        else:
            assert head.header(b"content-length") == b"%d" % SIZE
            while got < SIZE:
                got += len(await client.reader.read(1 << 20))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert got == SIZE
    assert peak < 12 << 20


async def test_slow_service_slows_the_client_down(door: Door, service: Service) -> None:
    goes_on = asyncio.Event()

    async def talk(conversation: Conversation) -> None:
        await conversation.request()
        await goes_on.wait()
        service.bodies.append(await read_chunked(conversation.reader))
        await conversation.send(OK)

    service.talk = talk
    door.policy.set(max_body=64 << 20)
    async with door.client() as client:
        await client.send(b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        sent = 0

        async def upload() -> None:
            nonlocal sent
            while True:
                await client.send(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
                sent += 0x10000

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(upload(), 0.5)
        # Nobody is blamed for it: longer than the grace, and the exchange still stands.
        goes_on.set()
        await client.send(b"0\r\n\r\n")
        assert (await client.reply()).status == 200
    assert len(service.bodies[0]) >= sent


async def test_answer_before_the_body_is_there(door: Door, service: Service) -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.request()
        await conversation.send(b"HTTP/1.1 403 No\r\ncontent-length: 2\r\n\r\nno")
        await conversation.reader.read(-1)

    service.talk = talk
    async with door.client() as client:
        await client.send(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\n")
        await client.send(b"x" * 100000)
        reply = await client.reply()
        assert (reply.status, reply.body, reply.closes) == (403, b"no", True)
    await door.settled()


async def test_event_stream_flows_and_outlives_the_total(door: Door, service: Service) -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.answer(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        for number in range(5):
            await asyncio.sleep(0.05)
            await conversation.send(b"data: %d\n\n" % number)

    service.talk = talk
    door.policy.set(timeouts=type(SHORT)(connect=1, first_byte=1, idle=1, total=0.1))
    async with door.client() as client:
        await client.send(GET)
        assert (await client.head()).status == 200
        for number in range(5):
            event = b"data: %d\n\n" % number
            assert await client.reader.readexactly(len(event) + 5) == b"9\r\n" + event + b"\r\n"
        assert await client.reader.readexactly(5) == b"0\r\n\r\n"


WEBSOCKET = (
    b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"
    b"Sec-WebSocket-Key: x\r\n\r\n"
)


async def test_websocket_passes_both_ways(door: Door, service: Service) -> None:
    async def talk(conversation: Conversation) -> None:
        head = await conversation.request()
        assert header(head, b"upgrade") == b"websocket"
        assert header(head, b"connection") == b"upgrade"
        await conversation.send(
            b"HTTP/1.1 101 Go\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: y\r\n\r\nfirst"
        )
        while data := await conversation.reader.read(100):
            await conversation.send(data.upper())

    service.talk = talk
    door.policy.set(timeouts=type(SHORT)(connect=1, first_byte=1, idle=1, total=0.1))
    async with door.client() as client:
        await client.send(WEBSOCKET)
        reply = await client.head()
        assert reply.status == 101
        assert reply.header(b"upgrade") == b"websocket"
        assert reply.header(b"connection") == b"upgrade"
        assert reply.header(b"sec-websocket-accept") == b"y"
        assert await client.reader.readexactly(5) == b"first"
        for word in (b"one", b"two", b"GET / HTTP/1.1\r\n\r\n"):
            await asyncio.sleep(0.1)
            await client.send(word)
            assert await client.reader.readexactly(len(word)) == word.upper()
    await door.settled()
    await service.left()


async def test_websocket_that_says_nothing_is_closed(door: Door, service: Service) -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.answer(
            b"HTTP/1.1 101 Go\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
        )
        await conversation.reader.read(-1)

    service.talk = talk
    door.policy.set(timeouts=SHORT)
    async with door.client() as client:
        await client.send(WEBSOCKET)
        assert (await client.head()).status == 101
        assert await client.is_closed()
    await door.settled()


async def test_websocket_of_a_client_that_has_closed_its_side_ends(
    door: Door, service: Service
) -> None:
    """It closed before the service had agreed, so nobody will ever say a word."""

    async def talk(conversation: Conversation) -> None:
        await conversation.request()
        await asyncio.sleep(0.1)
        await conversation.send(
            b"HTTP/1.1 101 Go\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
        )
        await conversation.reader.read(-1)

    service.talk = talk
    door.policy.set(timeouts=Timeouts(idle=60, total=60))
    async with door.client() as client:
        await client.send(WEBSOCKET)
        client.writer.write_eof()
        assert b"101" in await client.rest()
        await door.settled()
        await service.left()


async def test_refused_websocket_is_an_answer_like_any_other(door: Door, service: Service) -> None:
    async with door.client() as client:
        for _ in range(2):
            await client.send(WEBSOCKET)
            reply = await client.reply()
            assert (reply.status, reply.body) == (200, b"ok")
    assert service.connections == 1


async def test_upgrade_with_a_body_is_none(door: Door, service: Service) -> None:
    await door.ask(WEBSOCKET[:-2] + b"Content-Length: 3\r\n\r\nabc")
    assert header(service.requests[0], b"upgrade") is None


@pytest.mark.parametrize("stage", ["waiting", "streaming", "uploading", "deciding"])
@pytest.mark.parametrize("how", ["close", "reset"])
async def test_client_that_leaves_takes_its_exchange_along(
    door: Door, service: Service, stage: str, how: str
) -> None:
    left = asyncio.Event()

    async def talk(conversation: Conversation) -> None:
        await conversation.request()
        if stage == "streaming":
            await conversation.send(b"HTTP/1.1 200 OK\r\n\r\nx")
        try:
            await conversation.reader.read(-1)
        finally:
            left.set()

    async def decide(_: Exchange) -> Decision | None:
        if stage == "deciding":
            try:
                await asyncio.sleep(60)
            finally:
                left.set()
        return None

    service.talk = talk
    door.policy.decide = decide
    async with door.client() as client:
        request = GET
        if stage == "uploading":
            request = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\n"
            request += b"x" * 100000
        await client.send(request)
        if stage == "streaming":
            await client.head()
        else:
            await asyncio.sleep(0.05)
        if how == "reset":
            client.reset()
    async with asyncio.timeout(3):
        await left.wait()
    await door.settled()
    assert door.policy.outcomes == ["client_left"]
    assert door.policy.finished[0][1] == (200 if stage == "streaming" else 499)


async def test_client_that_closes_its_side_still_gets_a_quick_answer(door: Door) -> None:
    async with door.client() as client:
        await client.send(GET + GET)
        client.writer.write_eof()
        assert (await client.reply()).body == b"ok"
        assert (await client.reply()).body == b"ok"
        assert await client.is_closed()


async def test_aborts_leave_nothing_behind(door: Door, service: Service) -> None:
    async def talk(conversation: Conversation) -> None:
        while True:
            await conversation.request()
            await conversation.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
            await conversation.send(b"x" * 100000)

    service.talk = talk

    async def abort(number: int) -> None:
        client = await door.connect()
        await client.send(GET)
        if number % 2:
            await client.head()
        client.reset()

    for start in range(0, 400, 50):
        await asyncio.gather(*(abort(start + number) for number in range(50)))
    await door.settled()
    assert len(door.policy.finished) == len(door.policy.admitted)
