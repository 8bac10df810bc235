"""Who knocks, and how soon he is let in."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket

import pytest

from services.gateway.downstream.server import Server
from shared.listener import AT_ONCE, Listener, bound_sockets
from tests.service.gateway.wire.peers import Door, Service, open_door, until

GET = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"


def knock(port: int, stack: contextlib.ExitStack) -> socket.socket:
    """A client that the kernel has taken, whether or not the gateway has."""
    return stack.enter_context(socket.create_connection(("127.0.0.1", port)))


async def test_a_crowd_does_not_wait_for_a_turn_of_the_loop_each(door: Door) -> None:
    """Each turn may be long: it serves everybody who is in already."""
    crowd = 3 * AT_ONCE
    with contextlib.ExitStack() as stack:
        for _ in range(crowd):
            knock(door.server.port, stack)
        for _ in range(12):
            await asyncio.sleep(0)
        assert door.server.connections == crowd
    await door.settled()


async def test_who_is_in_is_served_while_a_crowd_comes(door: Door) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(AT_ONCE + 1):
            knock(door.server.port, stack)
        assert (await door.ask(GET)).status == 200


async def test_answers_are_not_held_back_for_more(door: Door) -> None:
    async with door.client():
        await until(lambda: door.server.connections == 1)
        (connection,) = door.server._connections
        transport = connection._transport
        assert transport is not None
        sock = transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


class Troubled(socket.socket):
    """A listening socket whose next attempts to accept fail."""

    def __init__(self, *troubles: int) -> None:
        super().__init__()
        self.troubles = list(troubles)
        self.bind(("127.0.0.1", 0))

    def accept(self) -> tuple[socket.socket, object]:
        if self.troubles:
            number = self.troubles.pop()
            raise OSError(number, os.strerror(number))
        return super().accept()


@pytest.mark.parametrize("trouble", [errno.EMFILE, errno.ENOBUFS, errno.ECONNABORTED])
async def test_who_waits_is_accepted_when_the_trouble_is_over(
    service: Service, trouble: int
) -> None:
    """No descriptor is left for a while, or the client before has left already."""
    listener = Troubled(trouble, trouble)
    async with open_door(service, listener=listener) as door:
        assert (await door.ask(GET)).status == 200
        assert not listener.troubles


@pytest.mark.parametrize("accepted", [True, False], ids=["accepted", "connected"])
async def test_who_was_there_is_known_before_it_closes(accepted: bool) -> None:
    made: list[asyncio.Protocol] = []

    def make() -> asyncio.Protocol:
        made.append(asyncio.Protocol())
        return made[-1]

    sockets = await bound_sockets("127.0.0.1", 0, reuse_port=False)
    listener = Listener(asyncio.get_running_loop(), sockets, make, 16)
    with contextlib.ExitStack() as stack:
        client = knock(listener.port, stack)
        if accepted:
            listener._accept(sockets[0])
        await listener.close()
        assert len(made) == 1
        client.close()


async def test_every_address_of_a_name_is_bound() -> None:
    sockets = await bound_sockets("", 0, reuse_port=False)
    try:
        assert socket.AF_INET in {sock.family for sock in sockets}
    finally:
        for sock in sockets:
            sock.close()


async def test_a_taken_port_is_said(door: Door) -> None:
    other = Server(door.policy, door.upstreams)
    with pytest.raises(OSError, match="in use"):
        await other.start(port=door.server.port)
