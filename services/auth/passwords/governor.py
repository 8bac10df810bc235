"""Password hashing in threads of its own: bounded in number, in waiting and in time."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NoReturn, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from shared.errors import ServiceUnavailable

T = TypeVar("T")
_NICENESS = 10
_BUCKETS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


def cpu_count() -> int:
    """The CPUs that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _give_way() -> None:
    """Lets the event loop go first on a busy CPU: a hash can wait, an answer to a probe cannot.

    Linux has a priority for each thread; elsewhere it would be that of the whole process.
    """
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)


class HashGovernor:
    """Runs expensive functions in `workers` threads, in the order in which they were asked for.

    At most `queue` callers wait, each at most `queue_seconds`; the others get ServiceUnavailable at
    once. More threads than CPUs hash no faster, and each one in use takes the memory of a hash.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        workers: int,
        queue: int,
        queue_seconds: float,
    ) -> None:
        self._executor = ThreadPoolExecutor(
            workers, thread_name_prefix="hash", initializer=_give_way
        )
        self._free = asyncio.Semaphore(workers)
        self._queue = queue
        self._queue_seconds = queue_seconds
        self._waiting = 0
        depth = Gauge("hash_queue_depth", "Callers waiting for a hash thread", registry=registry)
        depth.set_function(lambda: float(self._waiting))
        self._shed = Counter(
            "hash_shed_total", "Hashes refused for want of a thread", registry=registry
        )
        self._duration = Histogram(
            "hash_duration_seconds",
            "Time in the hash thread",
            ("operation",),
            buckets=_BUCKETS,
            registry=registry,
        )

    async def run(self, operation: str, work: Callable[..., T], *arguments: Any) -> T:
        """The result of `work(*arguments)`; `operation` names it in the metrics.

        Raises ServiceUnavailable when no thread gets free in time, and what `work` raises.
        """
        await self._take_turn()
        loop = asyncio.get_running_loop()

        def timed() -> T:
            began = time.perf_counter()
            try:
                return work(*arguments)
            finally:
                self._duration.labels(operation).observe(time.perf_counter() - began)

        answered: asyncio.Future[T] = loop.create_future()

        def settle(done: Future[T]) -> None:
            # First the turn, then the answer: whoever is answered finds the thread free.
            self._free.release()
            if answered.done():
                return
            if done.cancelled():
                answered.cancel()
            elif (error := done.exception()) is not None:
                answered.set_exception(error)
            else:
                answered.set_result(done.result())

        def give_back(done: Future[T]) -> None:
            # The thread may finish after its caller, or even the loop, has gone.
            if not loop.is_closed():
                loop.call_soon_threadsafe(settle, done)

        try:
            running = self._executor.submit(timed)
        except RuntimeError as error:
            self._free.release()
            raise ServiceUnavailable("The service is stopping") from error
        running.add_done_callback(give_back)
        return await answered

    async def _take_turn(self) -> None:
        if self._free.locked() and self._waiting >= self._queue:
            self._refuse()
        self._waiting += 1
        try:
            async with asyncio.timeout(self._queue_seconds):
                await self._free.acquire()
        except TimeoutError:
            self._refuse()
        finally:
            self._waiting -= 1

    def _refuse(self) -> NoReturn:
        self._shed.inc()
        raise ServiceUnavailable("Too many logins at once", retry_after_seconds=2)

    def close(self) -> None:
        """Waits for the hashes under way and ends the threads."""
        self._executor.shutdown(wait=True, cancel_futures=True)
