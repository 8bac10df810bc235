"""An open-loop client: requests are due at fixed times, whether the server is ready or not.

Latency counts from the moment a request was due, so that a server that stalls cannot hide it by
holding the client up. A kernel timer wakes the client: an event loop's own timers are too coarse.
"""

import argparse
import asyncio
import contextlib
import ctypes
import json
import os
import sys
import time
from collections import Counter, deque
from dataclasses import asdict, dataclass

import uvloop

from bench.load import request_of, request_options
from bench.processes import cpu_seconds
from bench.wire import Connection, Request

_CLOCK_MONOTONIC, _NONBLOCKING = 1, os.O_NONBLOCK
_MOST_CONNECTIONS = 256
_FIRST_CONNECTIONS = 16
_GRACE_SECONDS = 2.0
_WARM_UP = 3  # requests of each connection before it counts
_SETTLE_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class Latency:
    """Rates are requests a second, latencies milliseconds; an error is no answer or no 2xx."""

    asked: float
    achieved: float
    errors: int
    p50: float
    p90: float
    p99: float
    longest: float
    answered: int = 0  # with a 2xx
    cpu_seconds: float = 0.0  # of the process that was watched, if one was


@dataclass(frozen=True, slots=True)
class Open:
    """So many connections that take turns, and so many that nobody uses."""

    busy: int
    idle: int = 0


class OpenLoop:
    """Sends one request at `t0 + i / rate` for each i.

    With `spread` all its connections are open before the first, and take turns; without it there
    are as many as are needed, and the one used last is next.
    """

    def __init__(
        self, request: Request, rate: float, spread: Open | None = None, watched: int | None = None
    ) -> None:
        self._spread = spread
        self._watched = watched
        self._address = request.address
        self._bytes = request.encode()
        self._rate = rate
        self._free: deque[Connection] = deque()
        self._idle: list[Connection] = []
        self._due: deque[float] = deque()
        self._sent_due: dict[Connection, float] = {}
        self._opened = self._sent = 0
        self._errors: Counter[int] = Counter()  # by status, or NO_ANSWER
        self._latencies: list[float] = []
        self._opening: set[asyncio.Task[None]] = set()

    async def run(self, seconds: float) -> Latency:
        """Asks at the rate for `seconds` and waits a little for the last answers."""
        await self._prepare()
        total = int(seconds * self._rate)
        loop = asyncio.get_running_loop()
        timer = kernel_timer(1 / self._rate)
        spent = 0.0 if self._watched is None else cpu_seconds(self._watched)
        began = time.perf_counter()
        finished = asyncio.Event()

        def tick() -> None:
            os.read(timer, 8)
            now = time.perf_counter()
            while self._sent < total and began + self._sent / self._rate <= now:
                self._due.append(began + self._sent / self._rate)
                self._sent += 1
            self._send()
            if self._sent >= total:
                finished.set()

        loop.add_reader(timer, tick)
        await finished.wait()
        loop.remove_reader(timer)
        os.close(timer)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._all_answered(total), _GRACE_SECONDS)
        took = time.perf_counter() - began
        if self._watched is not None:
            spent = cpu_seconds(self._watched) - spent
        for connection in [*self._free, *self._sent_due, *self._idle]:
            connection.close()
        return self._result(total, took, spent)

    async def _prepare(self) -> None:
        """Opens connections; those that take turns have all been used when they are watched."""
        if self._spread is None:
            for _ in range(_FIRST_CONNECTIONS):
                await self._open()
            return
        for _ in range(self._spread.idle):
            self._idle.append(await Connection.open(self._address, self._done))
        for _ in range(self._spread.busy):
            await self._open()
        for _ in range(_WARM_UP * self._spread.busy):
            self._due.append(time.perf_counter())
            self._send()
            while self._due:  # noqa: ASYNC110 - counted elsewhere
                await asyncio.sleep(0)
        while self._sent_due:  # noqa: ASYNC110 - counted elsewhere
            await asyncio.sleep(0.01)
        if self._errors:
            raise ConnectionError(f"the warm-up got bad answers: {dict(self._errors)} by status")
        self._latencies.clear()
        # What the crowd of newcomers has cost is not what they cost from now on.
        await asyncio.sleep(_SETTLE_SECONDS)

    async def _all_answered(self, total: int) -> None:
        while len(self._latencies) + self._errors.total() < total:  # noqa: ASYNC110 - counted elsewhere
            await asyncio.sleep(0.01)

    def _send(self) -> None:
        while self._due and self._free:
            connection = self._free.popleft() if self._spread else self._free.pop()
            self._sent_due[connection] = self._due.popleft()
            connection.send(self._bytes)
        if self._due and not self._spread and self._opened < _MOST_CONNECTIONS:
            self._opened += 1
            job = asyncio.ensure_future(self._open(counted=True))
            self._opening.add(job)
            job.add_done_callback(self._opening.discard)

    async def _open(self, *, counted: bool = False) -> None:
        self._opened += not counted
        self._free.append(await Connection.open(self._address, self._done))
        self._send()

    def _done(self, connection: Connection, status: int) -> None:
        due = self._sent_due.pop(connection)
        if 200 <= status < 300:
            self._latencies.append(time.perf_counter() - due)
        else:
            self._errors[status] += 1
        if connection.usable:
            self._free.append(connection)
        else:
            self._opened -= 1
        if self._due:
            self._send()

    def _result(self, total: int, took: float, spent: float) -> Latency:
        # What never came is the worst that there is, and not left out.
        unanswered = total - len(self._latencies) - self._errors.total()
        ordered = sorted(self._latencies) + [took] * unanswered

        def percentile(share: float) -> float:
            if not ordered:
                return float("nan")
            return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000

        achieved = len(self._latencies) / took
        return Latency(
            self._rate,
            achieved,
            self._errors.total() + unanswered,
            percentile(0.5),
            percentile(0.9),
            percentile(0.99),
            percentile(1.0),
            len(self._latencies),
            spent,
        )


def kernel_timer(period_seconds: float) -> int:
    """A descriptor that becomes readable once per period (Linux). Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = int(libc.timerfd_create(_CLOCK_MONOTONIC, _NONBLOCKING))
    nanoseconds = max(1, int(period_seconds * 1e9))
    # struct itimerspec: the interval, then the first time; each as seconds and nanoseconds.
    when = (ctypes.c_long * 4)(*divmod(nanoseconds, 10**9), *divmod(nanoseconds, 10**9))
    if descriptor < 0 or libc.timerfd_settime(descriptor, 0, ctypes.byref(when), None) != 0:
        raise OSError(ctypes.get_errno(), "no kernel timer")
    return descriptor


def main() -> None:
    """Prints the latencies as JSON."""
    parser = argparse.ArgumentParser(prog="bench.open_loop", description=__doc__)
    request_options(parser)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--busy", type=int, help="connections that take turns")
    parser.add_argument("--idle", type=int, default=0, help="connections beside them")
    parser.add_argument("--watch", type=int, metavar="PID", help="whose CPU time to read")
    options = parser.parse_args()
    spread = Open(options.busy, options.idle) if options.busy else None
    loop = OpenLoop(request_of(options), options.rate, spread, options.watch)
    latency = uvloop.run(loop.run(options.seconds))
    json.dump(asdict(latency), sys.stdout)


if __name__ == "__main__":
    main()
