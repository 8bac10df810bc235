"""Writes of one turn go out together, each in its order and none too late."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack

import pytest

from services.gateway.outgoing import _ALONE, _MOST, Outgoing


class Pipe:
    """A transport, and the socket at its other end."""

    def __init__(self, transport: asyncio.Transport, end: socket.socket) -> None:
        self.transport = transport
        self._end = end

    def arrived(self) -> bytes:
        """What has come out at the other end since it was asked for last."""
        try:
            return self._end.recv(65536)
        except BlockingIOError:
            return b""


@pytest.fixture
async def pipes() -> AsyncIterator[list[Pipe]]:
    with ExitStack() as stack:
        made = []
        for _ in range(2):
            near, far = socket.socketpair()
            stack.callback(far.close)
            far.setblocking(False)
            transport, _ = await asyncio.get_running_loop().create_connection(
                asyncio.Protocol, sock=near
            )
            stack.callback(transport.abort)
            made.append(Pipe(transport, far))
        yield made


@pytest.fixture
async def outgoing() -> Outgoing:
    return Outgoing(asyncio.get_running_loop())


async def test_nothing_goes_out_before_the_turn_is_over(
    outgoing: Outgoing, pipes: list[Pipe]
) -> None:
    one, other = pipes
    outgoing.write(one.transport, b"a")
    outgoing.write(other.transport, b"b")
    outgoing.write(one.transport, b"c")
    assert (one.arrived(), other.arrived()) == (b"", b"")
    await asyncio.sleep(0)
    assert (one.arrived(), other.arrived()) == (b"ac", b"b")


async def test_no_turn_keeps_more_than_a_few(outgoing: Outgoing, pipes: list[Pipe]) -> None:
    one, _ = pipes
    for _ in range(_MOST + 1):
        outgoing.write(one.transport, b"a")
    assert one.arrived() == b"a" * _MOST
    await asyncio.sleep(0)
    assert one.arrived() == b"a"


async def test_who_writes_alone_does_not_wait(outgoing: Outgoing, pipes: list[Pipe]) -> None:
    one, _ = pipes
    outgoing.write(one.transport, b"tried")
    await asyncio.sleep(0)
    assert one.arrived() == b"tried"
    for _ in range(_ALONE):
        outgoing.write(one.transport, b"a")
        assert one.arrived() == b"a"
    outgoing.write(one.transport, b"tried again")
    assert one.arrived() == b""
    outgoing.write(one.transport, b", and not alone")
    await asyncio.sleep(0)
    assert one.arrived() == b"tried again, and not alone"
    outgoing.write(one.transport, b"a")
    assert one.arrived() == b""


async def test_what_was_flushed_before_its_turn_was_over_counts_as_one_of_it(
    outgoing: Outgoing, pipes: list[Pipe]
) -> None:
    one, other = pipes
    outgoing.write(one.transport, b"a")
    outgoing.flush()
    assert one.arrived() == b"a"
    outgoing.write(one.transport, b"b")
    outgoing.write(other.transport, b"c")
    assert (one.arrived(), other.arrived()) == (b"", b"")
    await asyncio.sleep(0)
    assert (one.arrived(), other.arrived()) == (b"b", b"c")


async def test_a_transport_that_closed_meanwhile_holds_up_nobody(
    outgoing: Outgoing, pipes: list[Pipe]
) -> None:
    one, other = pipes
    outgoing.write(one.transport, b"a")
    outgoing.write(other.transport, b"b")
    one.transport.abort()
    await asyncio.sleep(0)
    assert (one.arrived(), other.arrived()) == (b"", b"b")
