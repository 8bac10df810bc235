"""Clients that close their side once they have asked: served in full, unless they are gone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from services.gateway.exchange import Timeouts
from tests.service.gateway.wire.peers import LIMITS, Conversation, Door, Service, open_door

GET = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
L = b"HTTP/1.1 200 OK\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
BIG = b"x" * 300_000

# What a service says, with a pause before each part that is longer than the grace.
ANSWERS: dict[str, tuple[tuple[bytes, ...], bytes]] = {
    "counted": ((L + b"content-length: 5\r\n\r\nhello",), b"hello"),
    "in chunks": (
        (L + b"transfer-encoding: chunked\r\n\r\n2\r\nhe\r\n", b"3\r\nllo\r\n", b"0\r\n\r\n"),
        b"hello",
    ),
    "counted, in parts": ((L + b"content-length: 5\r\n\r\n", b"he", b"llo"), b"hello"),
    "large, counted": ((L + b"content-length: 600000\r\n\r\n" + BIG, BIG), BIG + BIG),
    "large, in chunks": (
        (L + b"transfer-encoding: chunked\r\n\r\n", b"493e0\r\n" + BIG + b"\r\n", b"0\r\n\r\n"),
        BIG,
    ),
    "to the end": ((L + b"\r\nhe", b"llo"), b"hello"),
}


def speaks(parts: tuple[bytes, ...], pause: float) -> Callable[[Conversation], Awaitable[None]]:
    async def talk(conversation: Conversation) -> None:
        await conversation.request()
        for part in parts:
            await asyncio.sleep(pause)
            await conversation.send(part)

    return talk


@pytest.mark.parametrize("case", ANSWERS, ids=lambda case: case.replace(" ", "-"))
async def test_slow_answer_comes_whole(service: Service, case: str) -> None:
    parts, body = ANSWERS[case]
    service.talk = speaks(parts, 0.15)
    limits = replace(LIMITS, half_close_grace=0.05, rate_grace=3)
    async with open_door(service, limits=limits) as door, door.client() as client:
        await client.send(GET)
        client.writer.write_eof()
        reply = await client.reply()
        while reply.status == 100:
            reply = await client.reply()
        assert (reply.status, reply.body) == (200, body)
        assert await client.is_closed()
        await door.settled()
        assert door.policy.outcomes == ["ok"]


async def test_http_1_0_is_told_nothing_between(service: Service) -> None:
    service.talk = speaks((L + b"content-length: 5\r\n\r\nhello",), 0.2)
    limits = replace(LIMITS, half_close_grace=0.05, rate_grace=3)
    async with open_door(service, limits=limits) as door, door.client() as client:
        await client.send(b"GET /a HTTP/1.0\r\n\r\n")
        client.writer.write_eof()
        assert (await client.reply()).body == b"hello"


async def test_every_pipelined_request_is_answered(service: Service) -> None:
    async def talk(conversation: Conversation) -> None:
        while True:
            await conversation.request()
            await asyncio.sleep(0.15)
            await conversation.send(L + b"content-length: 5\r\n\r\nhello")

    service.talk = talk
    limits = replace(LIMITS, half_close_grace=0.05)
    async with open_door(service, limits=limits) as door, door.client() as client:
        await client.send(GET * 3)
        client.writer.write_eof()
        stream = await client.rest()
        assert stream.replace(CONTINUE, b"").count(L) == 3
        assert stream.count(b"hello") == 3


async def test_pipelined_answers_that_look_alike_do_not_stand_still(service: Service) -> None:
    async def talk(conversation: Conversation) -> None:
        while True:
            await conversation.request()
            await conversation.send(L + b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")
            await asyncio.sleep(0.1)
            await conversation.send(b"0\r\n\r\n")

    service.talk = talk
    limits = replace(LIMITS, half_close_grace=0.05, rate_grace=0.4)
    async with open_door(service, limits=limits) as door, door.client() as client:
        await client.send(GET * 12)
        client.writer.write_eof()
        assert (await client.rest()).count(b"\r\nabc\r\n0\r\n\r\n") == 12


async def test_one_that_reads_slowly_gets_all_of_it(service: Service) -> None:
    size = 8_000_000
    service.talk = speaks((L + b"content-length: %d\r\n\r\n" % size + b"x" * size,), 0)
    limits = replace(LIMITS, half_close_grace=0.05, min_body_rate=1000)
    async with open_door(service, limits=limits) as door, door.client() as client:
        await client.send(GET)
        client.writer.write_eof()
        received = len((await client.head()).body)
        while received < size:
            await asyncio.sleep(0.01)
            received += len(await client.reader.readexactly(min(200_000, size - received)))
        assert await client.is_closed()


@pytest.mark.parametrize("version", [b"1.1", b"1.0"], ids=["1.1", "1.0"])
async def test_one_that_is_gone_takes_its_exchange_along(service: Service, version: bytes) -> None:
    """Its end looks the same at first."""
    asked = asyncio.Event()

    async def talk(conversation: Conversation) -> None:
        await conversation.request()
        asked.set()
        await conversation.reader.read(-1)

    service.talk = talk
    limits = replace(LIMITS, half_close_grace=0.05)
    async with open_door(service, limits=limits) as door:
        door.policy.set(timeouts=Timeouts(first_byte=60, idle=60, total=60))
        async with door.client() as client:
            await client.send(GET.replace(b"1.1", version))
            await asked.wait()
        await door.settled()
        await service.left()
        assert door.policy.outcomes == ["client_left"]


async def test_event_stream_ends_with_its_listener(door: Door, service: Service) -> None:
    """It may be silent for long, so that nothing else would tell."""

    async def talk(conversation: Conversation) -> None:
        await conversation.request()
        await conversation.send(L + b"content-type: text/event-stream\r\n\r\n: hello\n\n")
        await conversation.reader.read(-1)

    service.talk = talk
    door.policy.set(timeouts=Timeouts(idle=60, total=60))
    async with door.client() as client:
        await client.send(GET)
        await client.head()
        client.writer.write_eof()
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await client.rest()
    await door.settled()
    await service.left()
    assert door.policy.outcomes == ["client_left"]
