"""Work that would wait in line goes together: one at a time by key, and then all that wait."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Generic, TypeVar

from shared.errors import ServiceUnavailable

K = TypeVar("K")
I = TypeVar("I")  # noqa: E741 - an item


class Groups(Generic[K, I]):
    """Hands items to `work`, those of one key that wait at the same time as one group.

    `work` does a group wholly or not at all, and raises in that case. A group in which one item
    fails is tried again item by item, so that nobody suffers from a neighbour. ServiceUnavailable
    leaves open what was done, so it is not tried again: all that wait for that key get it.

    Groups run on connections of their own, never as a part of a caller's transaction.
    """

    def __init__(
        self, work: Callable[[K, Sequence[I]], Awaitable[None]], *, largest: int = 100
    ) -> None:
        self._work = work
        self._largest = largest
        self._lines: dict[K, list[tuple[I, asyncio.Future[None]]]] = {}
        self._under_way: set[asyncio.Task[None]] = set()

    async def do(self, key: K, item: I) -> None:
        """Returns when `item` is done. Raises what `work` raises for it."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        line = self._lines.get(key)
        if line is not None:
            line.append((item, done))
        else:
            line = self._lines[key] = [(item, done)]
            task = loop.create_task(self._serve(key, line), context=Context())
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
        await done

    async def _serve(self, key: K, line: list[tuple[I, asyncio.Future[None]]]) -> None:
        try:
            while line:
                # Whoever left before his item was begun does not want it any more.
                group = [one for one in line[: self._largest] if not one[1].done()]
                del line[: self._largest]
                if group:
                    await self._do(key, group, line)
        finally:
            del self._lines[key]
            for _, done in line:
                done.cancel()

    async def _do(
        self,
        key: K,
        group: Sequence[tuple[I, asyncio.Future[None]]],
        line: list[tuple[I, asyncio.Future[None]]],
    ) -> None:
        try:
            await self._work(key, [item for item, _ in group])
        except ServiceUnavailable as error:
            _fail([*group, *line], error)
            line.clear()
        except Exception as error:  # noqa: BLE001 - those who wait get it
            if len(group) == 1:
                _fail(group, error)
                return
            for one in group:
                await self._do(key, [one], line)
        except BaseException:
            for _, done in group:
                done.cancel()
            raise
        else:
            for _, done in group:
                if not done.done():
                    done.set_result(None)


def _fail(group: Sequence[tuple[object, asyncio.Future[None]]], error: Exception) -> None:
    for _, done in group:
        if not done.done():
            done.set_exception(error)
