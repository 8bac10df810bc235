"""Who waits for a connection, what he gets, and how many are opened for it."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from services.gateway.upstream.connection import UpstreamConnection
from services.gateway.upstream.queue import AT_ONCE, Queue


class Connection:
    """Stands for an upstream's connection."""

    def __init__(self, *, is_open: bool = True, silent: bool = True) -> None:
        self.is_open = is_open
        self.silent = silent
        self.fate = ""

    def is_silent(self) -> bool:
        return self.silent

    def keep(self) -> None:
        self.fate = "kept"

    def drop(self) -> None:
        self.fate = "dropped"


class Request:
    """Waits, and notes what it is told."""

    def __init__(self, *, is_repeatable: bool = True) -> None:
        self.is_repeatable = is_repeatable
        self.told: list[object] = []

    def connected(self, connection: UpstreamConnection) -> None:
        self.told.append(connection)

    def not_connected(self) -> None:
        self.told.append("refused")


class Service:
    """Opens connections when the test says so."""

    def __init__(self, room: int = 1_000) -> None:
        self.room = room
        self.opening: list[asyncio.Future[Connection]] = []
        self.time = 0.0
        self.queue = Queue(cast("Any", self.connect), lambda: max(0, self.room), lambda: self.time)

    def connect(self) -> asyncio.Future[Connection]:
        self.room -= 1
        self.opening.append(asyncio.get_running_loop().create_future())
        return self.opening[-1]

    def enter(self, *requests: Request, new: bool = False) -> None:
        for request in requests:
            self.queue.enter(request, 1.0, new=new)

    def offer(self, connection: Connection) -> bool:
        return self.queue.offer(cast("UpstreamConnection", connection))

    async def opened(self, connection: Connection | OSError) -> None:
        """The one that was begun first has come to this."""
        future = self.opening.pop(0)
        if isinstance(connection, OSError):
            future.set_exception(connection)
        else:
            future.set_result(connection)
        await asyncio.sleep(0)


@pytest.fixture
async def service() -> Service:
    return Service()


async def test_a_crowd_opens_few_connections_at_once(service: Service) -> None:
    service.enter(*[Request() for _ in range(10 * AT_ONCE)])
    assert len(service.opening) == AT_ONCE
    await service.opened(Connection())
    assert len(service.opening) == AT_ONCE


async def test_the_first_gets_what_is_there_first(service: Service) -> None:
    first, second = Request(), Request()
    service.enter(first, second)
    freed, new = Connection(), Connection()
    assert service.offer(freed)
    await service.opened(new)
    assert (first.told, second.told) == ([freed], [new])
    assert not service.offer(Connection())


async def test_a_connection_that_nobody_needs_any_more_is_kept(service: Service) -> None:
    served, left = Request(), Request()
    service.enter(served, left)
    assert service.offer(Connection())
    service.queue.leave(left)
    one = Connection()
    await service.opened(one)
    assert one.fate == "kept"
    assert left.told == []


async def test_who_must_not_meet_a_closed_connection_gets_none_that_has_spoken(
    service: Service,
) -> None:
    post = Request(is_repeatable=False)
    service.enter(post)
    ended = Connection(silent=False)
    assert service.offer(ended)
    assert (ended.fate, post.told) == ("dropped", [])
    good = Connection()
    assert service.offer(good)
    assert post.told == [good]


async def test_a_new_connection_goes_to_who_needs_one(service: Service) -> None:
    anybody, retrying = Request(), Request()
    service.enter(anybody)
    service.enter(retrying, new=True)
    freed, new = Connection(), Connection()
    await service.opened(new)
    assert service.offer(freed)
    assert (anybody.told, retrying.told) == ([freed], [new])


@pytest.mark.parametrize("how", ["refused", "closed"])
async def test_each_refusal_is_told_to_one(service: Service, how: str) -> None:
    requests = [Request() for _ in range(2 * AT_ONCE)]
    service.enter(*requests)
    for _ in requests:
        await service.opened(OSError() if how == "refused" else Connection(is_open=False))
    assert [request.told for request in requests] == [["refused"]] * len(requests)
    assert not service.opening


async def test_what_takes_too_long_to_open_makes_room_for_others(service: Service) -> None:
    patient = [Request() for _ in range(AT_ONCE + 1)]
    service.enter(*patient)
    hanging = list(service.opening)
    service.queue.sweep(0.5)
    service.queue.sweep(1.5)
    await asyncio.sleep(0)
    assert all(future.cancelled() for future in hanging)
    assert len(service.opening) == 2 * AT_ONCE
    assert [request.told for request in patient] == [[]] * len(patient)


async def test_it_says_when_it_moved_last(service: Service) -> None:
    service.enter(Request(), Request(), Request())
    service.time = 1.0
    await service.opened(OSError())
    assert service.queue.moved_at < 0
    await service.opened(Connection())
    assert service.queue.moved_at == 1
    service.time = 2.0
    service.offer(Connection())
    assert service.queue.moved_at == 2


async def test_no_more_are_opened_than_there_is_room_for() -> None:
    service = Service(room=1)
    service.enter(Request(), Request())
    assert len(service.opening) == 1
    service.room += 1
    service.queue.sweep(0)
    assert len(service.opening) == 2


async def test_who_needs_a_new_connection_gets_one_though_there_is_no_room() -> None:
    service = Service(room=0)
    service.enter(Request())
    assert not service.opening
    service.enter(Request(), new=True)
    assert len(service.opening) == 1


async def test_at_the_end_nothing_goes_on_opening(service: Service) -> None:
    waiting = Request()
    service.enter(waiting)
    service.queue.close()
    assert not service.opening[0].cancelled()
    service.queue.leave(waiting)
    service.queue.close()
    assert service.opening[0].cancelled()
    await asyncio.sleep(0)
