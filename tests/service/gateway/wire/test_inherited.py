"""A listening socket that outlives the gateway: nobody is refused between two of them."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from services.gateway.downstream import inherited
from services.gateway.downstream.inherited import inherited_listener
from tests.service.gateway.wire.peers import Client, Service, open_door

GET = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A socket that stays open, and a copy of it where the gateway looks."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setattr(inherited, "FIRST", os.dup(listener.fileno()))
        yield listener


def handed_over(**changes: str) -> dict[str, str]:
    return {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", **changes}


async def test_clients_wait_between_two_gateways(service: Service, held: socket.socket) -> None:
    async with open_door(service, listener=inherited_listener(handed_over())) as first:
        assert (await first.ask(GET)).status == 200
    # Nobody accepts, and yet the client gets in.
    client = await first.connect()
    await client.send(GET)
    inherited.FIRST = os.dup(held.fileno())
    async with open_door(service, listener=inherited_listener(handed_over())) as second:
        assert second.server.port == first.server.port
        assert (await client.reply()).status == 200
        assert isinstance(client, Client)
        client.writer.close()


def test_what_is_meant_for_another_process_is_left_alone() -> None:
    assert inherited_listener({}) is None
    assert inherited_listener(handed_over(LISTEN_PID="1")) is None


@pytest.mark.parametrize("changes", [{"LISTEN_FDS": "2"}, {"LISTEN_FDS": ""}])
def test_one_socket_is_taken_and_no_other_number(changes: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="exactly one"):
        inherited_listener(handed_over(**changes))


def test_a_descriptor_that_is_no_listener(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as idle:
        monkeypatch.setattr(inherited, "FIRST", os.dup(idle.fileno()))
        with pytest.raises(ValueError, match="does not listen"):
            inherited_listener(handed_over())
        monkeypatch.setattr(inherited, "FIRST", 9_999)
        with pytest.raises(ValueError, match="no socket"):
            inherited_listener(handed_over())
