"""What a service may not answer: never a complete 2xx out of it, never a poisoned connection."""

from __future__ import annotations

import asyncio

import pytest

from services.gateway.exchange import Inspect
from tests.service.gateway.wire.peers import OK, SHORT, Conversation, Door, Service

GET = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
L = b"HTTP/1.1 200 OK\r\n"
BAD = (502, "UPSTREAM_ERROR", "bad_framing")
LONG = (502, "UPSTREAM_ERROR", "long_head")
SLOW = (504, "UPSTREAM_TIMEOUT", "timeout")
RESET = (502, "UPSTREAM_ERROR", "reset")

# What is sent, and then the connection stays open: the answer must be judged by its bytes.
NO_ANSWERS: dict[str, tuple[bytes, tuple[int, str, str]]] = {
    "garbage": (b"garbage", BAD),
    "HTTP/0.9": (b"<html>hello</html>", BAD),
    "HTTP/2.0": (b"HTTP/2.0 200 OK\r\n\r\n", BAD),
    "HTTP/1.2": (b"HTTP/1.2 200 OK\r\n\r\n", BAD),
    "no version": (b"HTTP 200 OK\r\n\r\n", BAD),
    "status of two digits": (b"HTTP/1.1 20 OK\r\n\r\n", BAD),
    "status of four digits": (b"HTTP/1.1 2000 OK\r\n\r\n", BAD),
    "status 000": (b"HTTP/1.1 000 OK\r\n\r\n", BAD),
    "status 600": (b"HTTP/1.1 600 Much\r\ncontent-length: 2\r\n\r\nok", BAD),
    "status 999": (b"HTTP/1.1 999 No\r\ncontent-length: 2\r\n\r\nok", BAD),
    "status in letters": (b"HTTP/1.1 abc OK\r\n\r\n", BAD),
    "NUL in reason": (b"HTTP/1.1 200 O\0K\r\ncontent-length: 2\r\n\r\nok", BAD),
    "bare line feeds": (b"HTTP/1.1 200 OK\ncontent-length: 2\n\nok\r\n\r\n", BAD),
    "one bare line feed": (L + b"a: b\nc: d\r\ncontent-length: 2\r\n\r\nok", BAD),
    "bare carriage return": (L + b"a: b\rc: d\r\ncontent-length: 2\r\n\r\nok", BAD),
    "folded": (L + b"a: b\r\n c\r\ncontent-length: 2\r\n\r\nok", BAD),
    "space before colon": (L + b"content-length : 2\r\n\r\nok", BAD),
    "no colon": (L + b"abc\r\ncontent-length: 2\r\n\r\nok", BAD),
    "NUL in value": (L + b"a: b\0\r\ncontent-length: 2\r\n\r\nok", BAD),
    "length and chunked": (
        L + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        BAD,
    ),
    "two lengths": (L + b"content-length: 2\r\ncontent-length: 3\r\n\r\nok!", BAD),
    "two equal lengths": (L + b"content-length: 2\r\ncontent-length: 2\r\n\r\nok", BAD),
    "list of lengths": (L + b"content-length: 2, 2\r\n\r\nok", BAD),
    "negative length": (L + b"content-length: -2\r\n\r\nok", BAD),
    "signed length": (L + b"content-length: +2\r\n\r\nok", BAD),
    "huge length": (L + b"content-length: " + b"9" * 40 + b"\r\n\r\nok", BAD),
    "gzip, chunked": (L + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", BAD),
    "identity": (L + b"transfer-encoding: identity\r\ncontent-length: 2\r\n\r\nok", BAD),
    "chunked twice": (L + b"transfer-encoding: chunked\r\n" * 2 + b"\r\n0\r\n\r\n", BAD),
    "chunked in 1.0": (
        b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        BAD,
    ),
    "bad first chunk": (L + b"transfer-encoding: chunked\r\n\r\nzz\r\n", BAD),
    "unasked 101": (b"HTTP/1.1 101 Go\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n", BAD),
    "endless 100s": (b"HTTP/1.1 100 Continue\r\n\r\n" * 40, BAD),
    "100s and then nothing": (b"HTTP/1.1 100 Continue\r\n\r\n" * 3, SLOW),
    "many headers": (L + b"a: b\r\n" * 300 + b"content-length: 2\r\n\r\nok", LONG),
    "endless header": (L + b"a: " + b"b" * 70000, LONG),
    "half a head": (L + b"content-le", SLOW),
    "nothing": (b"", SLOW),
}


@pytest.mark.parametrize("case", NO_ANSWERS, ids=lambda case: case.replace(" ", "-"))
async def test_no_answer(door: Door, service: Service, case: str) -> None:
    sent, (status, code, outcome) = NO_ANSWERS[case]
    if outcome == "timeout":
        door.policy.set(timeouts=SHORT)

    async def talk(conversation: Conversation) -> None:
        await conversation.answer(sent)
        await conversation.reader.read(-1)

    service.talk = talk
    async with door.client() as client:
        await client.send(GET)
        reply = await client.reply()
        assert (reply.status, reply.code) == (status, code)
        assert not reply.closes
        # The client's connection is as good as before, and the service's is gone.
        service.talk = lambda conversation: conversation.answer(OK)  # type: ignore[assignment,return-value]
        await client.send(GET)
        assert (await client.reply()).body == b"ok"
    await door.settled()
    assert door.policy.outcomes == [outcome, "ok"]
    assert service.connections == 2


ENDS: dict[str, tuple[bytes, tuple[int, str, str]]] = {
    "closes at once": (b"", RESET),
    "closes in the status line": (b"HTTP/1.1 2", RESET),
    "closes in the head": (L + b"content-le", RESET),
    "closes after 100": (b"HTTP/1.1 100 Continue\r\n\r\n", RESET),
}


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("case", ENDS, ids=lambda case: case.replace(" ", "-"))
async def test_ends_before_its_answer(door: Door, service: Service, case: str, how: str) -> None:
    sent, (status, code, outcome) = ENDS[case]

    async def talk(conversation: Conversation) -> None:
        await conversation.answer(sent)
        if how == "reset":
            await asyncio.sleep(0.02)
            conversation.reset()

    service.talk = talk
    reply = await door.ask(b"POST /a HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (reply.status, reply.code) == (status, code)
    await door.settled()
    assert door.policy.outcomes == [outcome]
    assert service.connections == 1


CUT: dict[str, bytes] = {
    "short of its length": L + b"content-length: 10\r\n\r\nabc",
    "no last chunk": L + b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
    "in a chunk": L + b"transfer-encoding: chunked\r\n\r\n9\r\nabc",
    "in a chunk size": L + b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n1",
    "in the trailers": L + b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y",
}


@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
@pytest.mark.parametrize("how", ["close", "reset", "silence"])
@pytest.mark.parametrize("case", CUT, ids=lambda case: case.replace(" ", "-"))
async def test_cut_answer_never_looks_complete(
    door: Door, service: Service, case: str, how: str, version: bytes
) -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.answer(CUT[case])
        if how == "reset":
            await asyncio.sleep(0.02)
            conversation.reset()
        elif how == "silence":
            await conversation.reader.read(-1)

    service.talk = talk
    if how == "silence":
        door.policy.set(timeouts=SHORT)
    async with door.client() as client:
        await client.send(b"GET /a HTTP/%b\r\nHost: a\r\n\r\n" % version)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await client.reply()
    await door.settled()
    assert door.policy.outcomes == ["timeout" if how == "silence" else "truncated"]
    assert door.policy.finished[0][1] == 200


@pytest.mark.parametrize(
    "surplus",
    [b"x", b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"],
    ids=["a byte", "an answer"],
)
@pytest.mark.parametrize("late", [False, True], ids=["at once", "later"])
async def test_bytes_after_the_answer_reach_nobody(
    door: Door, service: Service, surplus: bytes, late: bool
) -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.request()
        if late:
            await conversation.send(OK)
            await asyncio.sleep(0.02)
            await conversation.send(surplus)
        else:
            await conversation.send(OK + surplus)
        await conversation.reader.read(-1)

    service.talk = talk
    async with door.client() as client:
        for _ in range(2):
            await client.send(GET)
            assert (await client.reply()).body == b"ok"
            await asyncio.sleep(0.05 if late else 0)
    await door.settled()
    assert service.connections == 2


BODILESS: dict[str, tuple[bytes, bytes, int]] = {
    "HEAD": (b"HEAD", L + b"content-length: 10\r\n\r\n", 200),
    "HEAD in chunks": (b"HEAD", L + b"transfer-encoding: chunked\r\n\r\n", 200),
    "HEAD without length": (b"HEAD", L + b"\r\n", 200),
    "204": (b"GET", b"HTTP/1.1 204 No Content\r\n\r\n", 204),
    "204 with a length": (b"GET", b"HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n", 204),
    "304": (b"GET", b"HTTP/1.1 304 Not Modified\r\netag: x\r\n\r\n", 304),
    "304 with a length": (b"GET", b"HTTP/1.1 304 N\r\ncontent-length: 5\r\n\r\n", 304),
}


@pytest.mark.parametrize("case", BODILESS, ids=lambda case: case.replace(" ", "-"))
async def test_answer_without_body_keeps_both_connections(
    door: Door, service: Service, case: str
) -> None:
    method, answer, status = BODILESS[case]

    async def talk(conversation: Conversation) -> None:
        while True:
            await conversation.answer(answer)

    service.talk = talk
    async with door.client() as client:
        for _ in range(2):
            await client.send(method + b" /a HTTP/1.1\r\nHost: a\r\n\r\n")
            reply = await client.head()
            assert reply.status == status
            assert reply.header(b"transfer-encoding") is None
        length = reply.header(b"content-length")
    assert length == {"HEAD": b"10", "304 with a length": b"5"}.get(case)
    await door.settled()
    assert service.connections == 1


async def test_interim_answers_are_skipped(door: Door, service: Service) -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.answer(
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + OK
        )

    service.talk = talk
    reply = await door.ask(GET)
    assert (reply.status, reply.body, reply.header(b"link")) == (200, b"ok", None)


async def test_hop_by_hop_headers_of_an_answer_end_here(door: Door, service: Service) -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.answer(
            L + b"connection: x-secret, keep-alive\r\nkeep-alive: 5\r\nx-secret: 1\r\n"
            b"proxy-connection: x\r\nte: x\r\ntrailer: x\r\nupgrade: h2c\r\nx-kept: 1\r\n"
            b"date: never\r\ncontent-length: 2\r\n\r\nok"
        )

    service.talk = talk
    reply = await door.ask(GET)
    assert [name for name, _ in reply.headers] == [b"date", b"x-kept", b"content-length"]
    assert reply.header(b"date") != b"never"


@pytest.mark.parametrize(
    ("version", "framing"), [(b"1.1", b"transfer-encoding"), (b"1.0", b"connection")]
)
async def test_answer_that_ends_with_its_connection(
    door: Door, service: Service, version: bytes, framing: bytes
) -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.answer(b"HTTP/1.0 200 OK\r\n\r\nhello")
        await asyncio.sleep(0.02)
        await conversation.send(b" world")

    service.talk = talk
    reply = await door.ask(b"GET /a HTTP/%b\r\nHost: a\r\n\r\n" % version)
    assert reply.body == b"hello world"
    assert [name for name, _ in reply.headers] == [b"date", framing]
    await door.settled()
    assert door.policy.outcomes == ["ok"]


async def test_inspected_answer_is_rewritten(door: Door, service: Service) -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.answer(b"HTTP/1.1 500 Oops\r\ncontent-length: 6\r\n\r\nsecret")

    service.talk = talk
    door.policy.judge = lambda status, headers: Inspect(100)
    reply = await door.ask(GET)
    assert reply.body == b"rewritten"
    assert door.policy.inspected == [(500, b"secret", True)]
    await door.settled()


async def test_inspected_answer_has_a_limit(door: Door, service: Service) -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.answer(L + b"\r\n")
        while True:
            await conversation.send(b"x" * 1000)

    service.talk = talk
    door.policy.judge = lambda status, headers: Inspect(5000)
    reply = await door.ask(GET)
    assert reply.body == b"rewritten"
    assert door.policy.inspected == [(200, b"x" * 5000, False)]
    await door.settled()


async def test_inspected_answer_that_is_cut(door: Door, service: Service) -> None:
    async def talk(conversation: Conversation) -> None:
        await conversation.answer(L + b"content-length: 100\r\n\r\nabc")

    service.talk = talk
    door.policy.judge = lambda status, headers: Inspect(5000)
    reply = await door.ask(GET)
    assert reply.body == b"rewritten"
    assert door.policy.inspected == [(200, b"abc", False)]
    await door.settled()
    assert door.policy.outcomes == ["truncated"]


@pytest.mark.parametrize("stage", ["judge", "decide"])
async def test_fault_of_our_own_is_a_500(door: Door, stage: str) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("ours")

    setattr(door.policy, stage, fail)
    reply = await door.ask(GET)
    assert (reply.status, reply.code) == (500, "INTERNAL_ERROR")
    assert isinstance(door.policy.refused[0].__cause__, RuntimeError)
    await door.settled()
    assert door.policy.outcomes == ["internal"]
