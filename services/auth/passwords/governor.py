"""Password hashing in threads of its own: bounded in number, in waiting and in time."""

from __future__ import annotations

import asyncio
import itertools
import math
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from statistics import median
from typing import Any, NoReturn, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from shared.errors import ServiceUnavailable

T = TypeVar("T")
_NICENESS = 10
_REMEMBERED = 15  # durations that tell how long a wait would be
_LONGEST_RETRY_SECONDS = 60
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


class Place:
    """A caller's place in line, from his coming until a thread is his or he leaves.

    As a context it is given up at the end of the block, whatever came of it.
    """

    def __init__(self, governor: HashGovernor, number: int, until: float) -> None:
        self.number = number
        self.until = until  # of the loop's clock
        self._governor = governor
        self._held = True

    def __enter__(self) -> Place:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    def leave(self) -> None:
        """Makes room for one more; once is enough."""
        if self._held:
            self._held = False
            self._governor.leave()

    async def run(self, operation: str, work: Callable[..., T], *arguments: Any) -> T:
        """The result of `work(*arguments)`; `operation` names it in the metrics.

        Raises ServiceUnavailable when no thread gets free in time, and what `work` raises.
        """
        await self._governor.take_turn(self)
        return await self._governor.hand_over(operation, work, *arguments)


class HashGovernor:
    """Runs expensive functions in `workers` threads, in the order in which callers lined up.

    At most `queue` callers wait, each at most `queue_seconds` from his coming. One more, and one
    whose turn would come later than that by what functions have taken lately, gets
    ServiceUnavailable at once, so it is the newest who are turned away. More threads than CPUs
    hash no faster, and each one in use takes the memory of a hash.
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
        self._workers = self._free = workers
        self._queue = queue
        self._queue_seconds = queue_seconds
        self._numbers = itertools.count()
        self._in_line = 0
        # Those who want a thread now, by the number of their place.
        self._ready: dict[int, asyncio.Future[None]] = {}
        self._latest_seconds: deque[float] = deque(maxlen=_REMEMBERED)
        depth = Gauge("hash_queue_depth", "Callers waiting for a hash thread", registry=registry)
        depth.set_function(lambda: float(self._in_line))
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

    def line_up(self) -> Place:
        """The last place in line, to be taken before anything else is waited for.

        Raises ServiceUnavailable when the line is full or too slow.
        """
        until = asyncio.get_running_loop().time() + self._queue_seconds
        full = self._in_line >= self._queue + self._free
        if full or self._expected_seconds() > self._queue_seconds:
            self._refuse()
        self._in_line += 1
        return Place(self, next(self._numbers), until)

    async def run(self, operation: str, work: Callable[..., T], *arguments: Any) -> T:
        """As `Place.run`, of a place of its own."""
        with self.line_up() as place:
            return await place.run(operation, work, *arguments)

    def leave(self) -> None:
        """One less in line."""
        self._in_line -= 1

    async def take_turn(self, place: Place) -> None:
        """Waits until a thread is the caller's. Raises ServiceUnavailable when none gets free.

        The thread goes to who came first of those who want one. Nobody waits for somebody who
        came before him and does not want it yet.
        """
        if self._free:
            self._free -= 1
            place.leave()
            return
        called = self._ready[place.number] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout_at(place.until):
                await called
        except BaseException as error:
            if called.done() and not called.cancelled():
                self._pass_on()
            if isinstance(error, TimeoutError):
                self._refuse()
            raise
        finally:
            self._ready.pop(place.number, None)
        place.leave()

    async def hand_over(self, operation: str, work: Callable[..., T], *arguments: Any) -> T:
        """Runs `work` in the thread that `take_turn` gave."""
        loop = asyncio.get_running_loop()

        def timed() -> T:
            began = time.perf_counter()
            try:
                return work(*arguments)
            finally:
                seconds = time.perf_counter() - began
                self._duration.labels(operation).observe(seconds)
                self._latest_seconds.append(seconds)

        answered: asyncio.Future[T] = loop.create_future()

        def settle(done: Future[T]) -> None:
            # First the turn, then the answer: whoever is answered finds the thread free.
            self._pass_on()
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
            self._pass_on()
            raise ServiceUnavailable("The service is stopping") from error
        running.add_done_callback(give_back)
        return await answered

    def _pass_on(self) -> None:
        """Gives a thread to the first of those who want one, or to nobody."""
        while self._ready:
            called = self._ready.pop(min(self._ready))
            if not called.done():
                called.set_result(None)
                return
        self._free += 1

    def _expected_seconds(self) -> float:
        """How long a newcomer would wait; 0 while nobody knows how long the functions take."""
        seconds = list(self._latest_seconds)  # threads append to it
        if not seconds:
            return 0.0
        before = self._in_line + self._workers - self._free
        # The middle one, so that a single pause of the machine turns nobody away.
        return max(0, before - self._workers + 1) / self._workers * median(seconds)

    def _refuse(self) -> NoReturn:
        self._shed.inc()
        seconds = min(max(1, math.ceil(self._expected_seconds())), _LONGEST_RETRY_SECONDS)
        raise ServiceUnavailable("Too many logins at once", retry_after_seconds=seconds)

    def close(self) -> None:
        """Waits for the hashes under way and ends the threads."""
        self._executor.shutdown(wait=True, cancel_futures=True)
