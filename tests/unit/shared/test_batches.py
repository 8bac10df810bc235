"""Look-ups that share a round trip: who gets what, and when nobody does."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextvars import ContextVar

import pytest

from shared.batches import Batches

MARK: ContextVar[str] = ContextVar("mark", default="none")


class Source:
    """Doubles even numbers, knows no others, and waits to be let go."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.marks: list[str] = []
        self.open = asyncio.Event()
        self.open.set()
        self.fault: Exception | None = None

    async def fetch(self, keys: Sequence[int]) -> dict[int, int]:
        self.asked.append(list(keys))
        self.marks.append(MARK.get())
        await self.open.wait()
        if self.fault is not None:
            raise self.fault
        return {key: key * 2 for key in keys if key % 2 == 0}


async def test_what_is_asked_in_one_turn_is_one_fetch_without_duplicates() -> None:
    source = Source()
    batches = Batches(source.fetch)
    found = await asyncio.gather(*(batches.get(key) for key in (2, 3, 4, 2)))
    assert found == [4, None, 8, 4]
    assert source.asked == [[2, 3, 4]]


async def test_a_fetch_is_never_of_before_it_was_asked_for() -> None:
    source = Source()
    batches = Batches(source.fetch)
    source.open.clear()
    first = batches.get(2)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert source.asked == [[2]]
    second = batches.get(2)
    source.open.set()
    assert await first == await second == 4
    assert source.asked == [[2], [2]]


async def test_fetches_are_bounded_in_number_and_in_size() -> None:
    source = Source()
    batches = Batches(source.fetch, largest=2, at_once=1)
    source.open.clear()
    waiting = [batches.get(key) for key in range(5)]
    for _ in range(5):
        await asyncio.sleep(0)
    assert source.asked == [[0, 1]]
    source.open.set()
    assert await asyncio.gather(*waiting) == [0, None, 4, None, 8]
    assert source.asked == [[0, 1], [2, 3], [4]]


async def test_a_failure_is_that_of_its_own_fetch_only() -> None:
    source = Source()
    batches = Batches(source.fetch)
    source.fault = RuntimeError("away")
    first, second = batches.get(2), batches.get(4)
    for one in (first, second):
        with pytest.raises(RuntimeError, match="away"):
            await one
    source.fault = None
    assert await batches.get(2) == 4


async def test_one_who_leaves_takes_nothing_from_the_others() -> None:
    source = Source()
    batches = Batches(source.fetch)
    source.open.clear()
    stays, leaves = batches.get(2), batches.get(2)
    await asyncio.sleep(0)
    leaves.cancel()
    source.open.set()
    assert await stays == 4


async def test_a_fetch_is_no_part_of_what_the_first_who_asks_is_in() -> None:
    source = Source()
    MARK.set("a transaction")
    assert await Batches(source.fetch).get(2) == 4
    assert source.marks == ["none"]
