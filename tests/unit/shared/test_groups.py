"""Work that goes together: who shares a group, and who suffers when one fails."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from shared.errors import Conflict, ServiceUnavailable
from shared.groups import Groups


class Desk:
    """Notes each group; refuses those with a `bad` item, and all while it is away."""

    def __init__(self) -> None:
        self.groups: list[tuple[str, list[str]]] = []
        self.open = asyncio.Event()
        self.away = False

    async def work(self, key: str, items: Sequence[str]) -> None:
        self.groups.append((key, list(items)))
        await self.open.wait()
        if self.away:
            raise ServiceUnavailable
        if "bad" in items:
            raise Conflict


async def started(groups: Groups[str, str], *pairs: tuple[str, str]) -> list[asyncio.Task[None]]:
    tasks = [asyncio.create_task(groups.do(*pair)) for pair in pairs]
    for _ in range(3):
        await asyncio.sleep(0)
    return tasks


async def test_those_of_one_key_that_wait_go_together_in_their_order() -> None:
    desk = Desk()
    groups = Groups(desk.work, largest=2)
    first = await started(groups, ("a", "1"))
    others = await started(groups, ("a", "2"), ("b", "3"), ("a", "4"), ("a", "5"))
    assert desk.groups == [("a", ["1"]), ("b", ["3"])]
    desk.open.set()
    await asyncio.gather(*first, *others)
    assert desk.groups[2:] == [("a", ["2", "4"]), ("a", ["5"])]
    assert groups._lines == {}


async def test_a_bad_item_fails_alone() -> None:
    desk = Desk()
    groups = Groups(desk.work)
    desk.open.set()
    tasks = await started(groups, ("a", "1"), ("a", "bad"), ("a", "2"))
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(one) for one in outcomes] == [type(None), Conflict, type(None)]
    assert desk.groups[-3:] == [("a", ["1"]), ("a", ["bad"]), ("a", ["2"])]


async def test_what_may_have_been_done_is_not_done_again() -> None:
    desk = Desk()
    desk.away = True
    groups = Groups(desk.work)
    first = await started(groups, ("a", "1"))
    others = await started(groups, ("a", "2"), ("a", "3"))
    desk.open.set()
    for task in (*first, *others):
        with pytest.raises(ServiceUnavailable):
            await task
    # Those in line behind it do not wait for the same end one after the other.
    assert desk.groups == [("a", ["1"])]
    desk.away = False
    await groups.do("a", "4")


async def test_who_leaves_before_his_turn_is_left_out() -> None:
    desk = Desk()
    groups = Groups(desk.work)
    first = await started(groups, ("a", "1"))
    leaves, stays = await started(groups, ("a", "2"), ("a", "3"))
    leaves.cancel()
    await asyncio.sleep(0)
    desk.open.set()
    await asyncio.gather(*first, stays)
    assert desk.groups == [("a", ["1"]), ("a", ["3"])]
