"""Look-ups by key that share round trips: what is asked in one turn of the loop is one query."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import Context
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Batches(Generic[K, V]):
    """Gathers keys and fetches the values of all that wait at once.

    A key is fetched after it was asked for, never before: whoever asks sees what was committed by
    then. `fetch` gets up to `largest` different keys and leaves out those without a value. While
    `at_once` fetches are under way the next one waits and grows, so that a busy process asks
    seldom. What `fetch` raises goes to all that wait for that fetch, and to nobody else.

    A fetch runs on a connection of its own: it does not see what an open transaction of its
    caller has written.
    """

    def __init__(
        self,
        fetch: Callable[[Sequence[K]], Awaitable[Mapping[K, V]]],
        *,
        largest: int = 100,
        at_once: int = 2,
    ) -> None:
        self._fetch = fetch
        self._largest = largest
        self._at_once = at_once
        self._waiting: dict[K, list[asyncio.Future[V | None]]] = {}
        self._under_way: set[asyncio.Task[None]] = set()
        self._due = False

    def get(self, key: K) -> asyncio.Future[V | None]:
        """The value of `key`, or None when it has none. Raises what `fetch` raises."""
        loop = asyncio.get_running_loop()
        found: asyncio.Future[V | None] = loop.create_future()
        self._waiting.setdefault(key, []).append(found)
        if not self._due and len(self._under_way) < self._at_once:
            self._due = True
            # The first who asks is not the only one: the fetch is not part of his transaction.
            loop.call_soon(self._start, context=Context())
        return found

    def _start(self) -> None:
        self._due = False
        while self._waiting and len(self._under_way) < self._at_once:
            if len(self._waiting) <= self._largest:
                batch, self._waiting = self._waiting, {}
            else:
                batch = {
                    key: self._waiting.pop(key) for key in list(self._waiting)[: self._largest]
                }
            task = asyncio.create_task(self._run(batch))
            self._under_way.add(task)

    async def _run(self, batch: dict[K, list[asyncio.Future[V | None]]]) -> None:
        try:
            values = await self._fetch(list(batch))
        except Exception as error:  # noqa: BLE001 - those who asked get it
            for future in _open(batch):
                future.set_exception(error)
        except BaseException:
            for future in _open(batch):
                future.cancel()
            raise
        else:
            for key, futures in batch.items():
                value = values.get(key)
                for future in futures:
                    # Whoever was cut off does not wait any more.
                    if not future.done():
                        future.set_result(value)
        finally:
            task = asyncio.current_task()
            assert task is not None
            self._under_way.discard(task)
            self._start()


def _open(batch: dict[K, list[asyncio.Future[V | None]]]) -> list[asyncio.Future[V | None]]:
    return [future for futures in batch.values() for future in futures if not future.done()]
