"""Files of clients that leave, send slowly or come all at once."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Self
from urllib.parse import urlsplit
from uuid import UUID
from weakref import WeakSet

import pytest
from aiohttp import ClientSession

from services.tasks.domain import Task
from services.tasks.handlers import files
from services.tasks.handlers.keys import IMPORT_TURNS, LISTS
from services.tasks.repository.imports import ImportRepository
from services.tasks.transfer.intake import Intake
from services.tasks.usecases import import_turns, imports, lists
from services.tasks.usecases.import_turns import AT_ONCE, ImportTurns
from shared.errors import ServiceUnavailable
from shared.middleware import METRICS
from shared.server import ApiRunner
from tests.service.tasks.client import Client
from tests.service.tasks.test_files import jsonl

LINES = b'{"title": "abc"}\n' * 1_000
ONE_CHUNK = b"%x\r\n%s\r\n" % (len(LINES), LINES)
END = b"0\r\n\r\n"


class Counting(Intake):
    """An intake that knows how many there are at once."""

    now = most = ever = 0
    alive: WeakSet[Intake]

    def __enter__(self) -> Self:
        cls = type(self)
        cls.now += 1
        cls.ever += 1
        cls.alive.add(self)
        cls.most = max(cls.most, cls.now)
        return super().__enter__()

    def __exit__(self, *about: object) -> None:
        type(self).now -= 1
        super().__exit__(*about)


@pytest.fixture(autouse=True)
def intakes(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Counting]]:
    class Fresh(Counting):
        pass

    Fresh.alive = WeakSet()

    monkeypatch.setattr(files, "Intake", Fresh)
    yield Fresh
    gc.enable()


@pytest.fixture
def turns(running: ApiRunner) -> ImportTurns:
    return running.app[IMPORT_TURNS]


class Sender:
    """Somebody who sends half a file."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def leave(self) -> None:
        self._writer.transport.abort()

    async def status(self) -> int:
        """Of the answer."""
        return int((await self._reader.readline()).split()[1])

    async def finish(self) -> int:
        """Sends the end; the status of the answer."""
        self._writer.write(END)
        return await self.status()


@asynccontextmanager
async def sending(client: Client, base_url: str, query: str = "") -> AsyncIterator[Sender]:
    parts = urlsplit(base_url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    head = (
        f"POST /v2/tasks/import{query} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
        f"Authorization: Bearer {client.token}\r\nContent-Type: application/x-ndjson\r\n\r\n"
    )
    writer.write(head.encode() + ONE_CHUNK)
    try:
        yield Sender(reader, writer)
    finally:
        writer.transport.abort()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30.0):
        while not condition():  # noqa: ASYNC110 - there is nothing to be told by
            await asyncio.sleep(0.005)


def connections(running: ApiRunner) -> int:
    """Those whose client is there still."""
    assert running.server is not None
    return sum(one.transport is not None for one in running.server.connections)


async def test_clients_that_leave_half_way_leave_nothing_behind(
    ann: Client,
    session: ClientSession,
    base_url: str,
    running: ApiRunner,
    turns: ImportTurns,
    intakes: type[Counting],
) -> None:
    # What only a cycle keeps stays until garbage is collected: a body's buffer, for one.
    gc.disable()

    async def leaves_soon(number: int) -> None:
        async with sending(Client(session, base_url), base_url, "?dry_run=true") as sender:
            await asyncio.sleep(0.002 * (number % 7))
            sender.leave()

    honest = asyncio.create_task(ann.imported(jsonl({"title": "t"})))
    await asyncio.gather(*(leaves_soon(number) for number in range(60)))
    assert (await honest).data == {"imported": 1, "unchanged": 0, "refused": []}
    await until(lambda: running.app[METRICS].under_way == 0)
    assert intakes.most <= AT_ONCE
    assert intakes.now == turns.under_way == turns.waiting == 0
    assert len(intakes.alive) == 0


async def test_who_leaves_while_he_waits_gets_no_turn(
    ann: Client,
    bob: Client,
    base_url: str,
    running: ApiRunner,
    turns: ImportTurns,
    intakes: type[Counting],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(import_turns, "AT_ONCE", 1)
    async with sending(ann, base_url) as first, sending(bob, base_url) as second:
        await until(lambda: turns.under_way == turns.waiting == 1)
        second.leave()
        await until(lambda: connections(running) == 1)
        assert await first.finish() == 200
    await until(lambda: running.app[METRICS].under_way == 0)
    assert (intakes.ever, turns.under_way, turns.waiting) == (1, 0, 0)


async def test_who_has_left_keeps_nobody_out_of_the_queue(
    ann: Client,
    bob: Client,
    admin: Client,
    base_url: str,
    running: ApiRunner,
    turns: ImportTurns,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(import_turns, "AT_ONCE", 1)
    monkeypatch.setattr(import_turns, "WAITING", 1)
    async with sending(ann, base_url) as first, sending(bob, base_url) as second:
        await until(lambda: turns.under_way == turns.waiting == 1)
        full = await admin.imported(jsonl({"title": "t"}))
        assert (full.status, full.error["code"]) == (503, "SERVICE_UNAVAILABLE")
        assert int(full.headers["Retry-After"]) >= 1
        second.leave()
        await until(lambda: connections(running) <= 2)
        waiting = asyncio.create_task(admin.imported(jsonl({"title": "t"})))
        await until(lambda: turns.waiting == 1)
        assert await first.finish() == 200
        assert (await waiting).status == 200


async def test_one_caller_cannot_fill_the_queue(
    ann: Client, bob: Client, base_url: str, turns: ImportTurns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_turns, "WAITING_OF_ONE", 1)
    async with sending(ann, base_url) as first, sending(ann, base_url) as second:
        await until(lambda: turns.under_way == turns.waiting == 1)
        assert (await ann.imported(jsonl({"title": "t"}))).status == 503
        assert (await bob.imported(jsonl({"title": "t"}))).status == 200
        assert (await first.finish(), await second.finish()) == (200, 200)


async def test_nobody_waits_for_ever(
    ann: Client,
    bob: Client,
    base_url: str,
    turns: ImportTurns,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(import_turns, "AT_ONCE", 1)
    monkeypatch.setattr(import_turns, "PATIENCE_SECONDS", 0.05)
    async with sending(ann, base_url) as first:
        await until(lambda: turns.under_way == 1)
        answer = await bob.imported(jsonl({"title": "t"}))
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
        assert await first.finish() == 200
    assert (await bob.imported(jsonl({"title": "t"}))).status == 200


async def test_one_caller_has_one_turn(
    ann: Client, bob: Client, base_url: str, turns: ImportTurns
) -> None:
    async with sending(ann, base_url) as first, sending(ann, base_url) as second:
        await until(lambda: turns.under_way == turns.waiting == 1)
        assert (await bob.imported(jsonl({"title": "t"}))).status == 200
        assert (await first.finish(), await second.finish()) == (200, 200)


async def test_who_sends_too_slowly_gives_his_turn_back(
    ann: Client, base_url: str, turns: ImportTurns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "GRACE_SECONDS", 0.05)
    async with sending(ann, base_url) as sender:
        assert await sender.status() == 408
        await until(lambda: turns.under_way == 0)
    assert await ann.stored() == {}


async def test_a_waiter_who_is_called_and_cancelled_gives_his_turn_back() -> None:
    turns = ImportTurns()

    async def comes() -> None:
        async with turns.turn(UUID(int=1), lambda: False):
            raise AssertionError("He was to be cancelled.")

    async with turns.turn(UUID(int=1), lambda: False):
        waiter = asyncio.create_task(comes())
        await until(lambda: turns.waiting == 1)
    # He has been called by now, and does not know it yet.
    assert (turns.under_way, turns.waiting) == (1, 0)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert (turns.under_way, turns.waiting) == (0, 0)
    async with turns.turn(UUID(int=1), lambda: False):
        assert turns.under_way == 1


async def test_a_queue_survives_those_who_give_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_turns, "PATIENCE_SECONDS", 0.01)
    turns = ImportTurns()

    async def comes() -> None:
        async with turns.turn(UUID(int=1), lambda: False):
            await asyncio.sleep(0.002)

    outcomes = await asyncio.gather(*(comes() for _ in range(50)), return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {type(None), ServiceUnavailable}
    assert (turns.under_way, turns.waiting) == (0, 0)


async def test_who_leaves_between_two_portions_ends_the_import_there(
    ann: Client, base_url: str, running: ApiRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "PORTION", 200)
    add_all, portions = ImportRepository.add_all, 0

    async def interrupted(self: ImportRepository, tasks: Sequence[Task]) -> None:
        nonlocal portions
        portions += 1
        if portions == 2:
            before = connections(running)
            sender.leave()
            await until(lambda: connections(running) < before)
        await add_all(self, tasks)

    monkeypatch.setattr(ImportRepository, "add_all", interrupted)
    async with sending(ann, base_url) as sender:
        sender._writer.write(END)
        await until(lambda: running.app[METRICS].under_way == 0 and portions > 0)
    assert len(await ann.stored()) == 400
    again = await ann.imported(LINES)
    assert again.data == {"imported": 600, "unchanged": 400, "refused": []}


async def test_who_leaves_between_two_batches_ends_the_export_there(
    ann: Client, running: ApiRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "EXPORT_BATCH", 2)
    await ann.imported(jsonl(*({"title": f"{n}"} for n in range(6))))
    asked = 0

    def check() -> None:
        nonlocal asked
        asked += 1
        if asked == 3:
            raise ConnectionResetError

    seen: list[str] = []
    batches = lists.export_tasks(running.app[LISTS], UUID(ann.user_id), check)
    for _ in range(2):
        seen += [task.title for task in await anext(batches)]
    with pytest.raises(ConnectionResetError):
        await anext(batches)
    assert seen == ["0", "1", "2", "3"]
