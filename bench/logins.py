"""`python -m bench.logins`: many logins at the same moment, and what else auth can do meanwhile.

Starts the system as `make run` does. While the logins wait for a thread that hashes, the ops port
of auth is asked whether it lives, one question after the other, and its memory is read. In which
order the logins came and were answered is what auth's own log says: on their way from here, and
back, they overtake each other.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import multiprocessing
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector

from bench.machine import Cores
from bench.processes import NotMeasured, resident_bytes
from bench.revocation import at_share
from bench.system import running_system
from bench.wire import Request

PAUSE_SECONDS, REST_SECONDS = 0.005, 3.0
LOG_SECONDS = 1.5  # until auth has written what it logs
WANTED_P99_MS = 50.0
MIB = 1024 * 1024


@dataclass
class Storm:
    """What came of the logins: status of each, and the request ids of those that were served."""

    statuses: Counter[int] = field(default_factory=Counter)
    without_retry_after: int = 0
    served: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Order:
    """In which order auth took the logins that it served.

    `overtaken` were answered after one that came at least ten places later. `turned_away_early`
    were turned away although they came before the first half of those that were served.
    """

    overtaken: int
    turned_away_early: int

    @classmethod
    def of(cls, seen: Storm, log: Path, name: str) -> Order:
        """As the lines of `log` about requests called `name` with a number tell."""
        came: dict[str, datetime] = {}
        answered: dict[str, datetime] = {}
        for line in log.read_text().splitlines():
            if f'"{name}-' not in line:
                continue
            entry = json.loads(line)
            if entry["event"] != "request":
                continue
            request, end = entry["request_id"], datetime.fromisoformat(entry["time"])
            came[request] = end - timedelta(milliseconds=entry["duration_ms"])
            answered[request] = end
        if not seen.served <= came.keys():
            raise NotMeasured("auth's log does not tell of every login")
        served = sorted(seen.served, key=came.__getitem__)
        places = {request: place for place, request in enumerate(served)}
        highest, overtaken = -1, 0
        for request in sorted(served, key=answered.__getitem__):
            overtaken += places[request] < highest - 10
            highest = max(highest, places[request])
        middle = came[served[len(served) // 2]] if served else None
        early = [at for request, at in came.items() if request not in places]
        return cls(overtaken, sum(middle is not None and at < middle for at in early))


class Watch:
    """Asks whether auth lives and reads its memory, from a process of its own.

    In ours the answers would wait for two hundred logins being sent.
    """

    def __init__(self, live: str, pid: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._ready, self._stop = context.Event(), context.Event()
        self._found, child = context.Pipe(duplex=False)
        arguments = (live, pid, self._ready, self._stop, child)
        self._process = context.Process(target=_watch, args=arguments, daemon=True)
        self._process.start()
        self._ready.wait(30)

    def end(self) -> tuple[list[float], int]:
        """Seconds of each answer, sorted, and the most bytes of memory. Raises NotMeasured."""
        self._stop.set()
        try:
            seconds, peak = self._found.recv()
        except EOFError:
            raise NotMeasured("auth did not say whether it lives") from None
        self._process.join()
        return sorted(seconds), peak


async def storm(login: Request, count: int, name: str) -> Storm:
    """Sends `count` logins at once, called `name` and a number; returns when all are answered."""
    seen = Storm()
    async with ClientSession(
        cookie_jar=DummyCookieJar(),
        connector=TCPConnector(limit=0),
        timeout=ClientTimeout(total=120),
    ) as session:
        requests = (f"{name}-{number}" for number in range(count))
        await asyncio.gather(*(_log_in(session, login, seen, request) for request in requests))
    return seen


async def _log_in(session: ClientSession, login: Request, seen: Storm, request: str) -> None:
    headers = {**login.headers, "X-Request-ID": request}
    async with session.post(login.url, headers=headers, data=login.body) as answer:
        await answer.read()
    seen.statuses[answer.status] += 1
    if answer.status == 200:
        seen.served.add(request)
    elif "Retry-After" not in answer.headers:
        seen.without_retry_after += 1


def _watch(live: str, pid: int, ready: Event, stop: Event, found: Connection) -> None:
    parts = urlsplit(live)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    seconds: list[float] = []
    peak = 0
    ready.set()
    while not stop.is_set():
        began = time.perf_counter()
        connection.request("GET", parts.path)
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            return
        seconds.append(time.perf_counter() - began)
        peak = max(peak, resident_bytes(pid))
        time.sleep(PAUSE_SECONDS)
    found.send((seconds, peak))


def figures_of(
    seen: Storm, order: Order, ordered: list[float], memory: tuple[int, int, int]
) -> dict[str, float | int]:
    """The figures by name; memory in MiB, times in milliseconds."""
    before, peak, after = memory
    return {
        "logins_served": seen.statuses[200],
        "logins_shed_503": seen.statuses[503],
        "other_answers": seen.statuses.total() - seen.statuses[200] - seen.statuses[503],
        "shed_without_retry_after": seen.without_retry_after,
        "served_out_of_order": order.overtaken,
        "turned_away_too_early": order.turned_away_early,
        "live_asked": len(ordered),
        "live_p50_ms": at_share(ordered, 0.5),
        "live_p99_ms": at_share(ordered, 0.99),
        "live_max_ms": at_share(ordered, 1.0),
        "memory_before_mib": round(before / MIB, 1),
        "memory_peak_mib": round(peak / MIB, 1),
        "memory_after_mib": round(after / MIB, 1),
    }


def main() -> int:
    """Prints the figures; returns 1 when they are not as they must be."""
    parser = argparse.ArgumentParser(prog="bench.logins", description=__doc__)
    parser.add_argument("--count", type=int, default=200, help="logins at once")
    parser.add_argument("--rounds", type=int, default=3, help="storms, one after the other")
    options = parser.parse_args()
    good = True
    with tempfile.TemporaryDirectory(prefix="tasklane-bench-") as folder:
        try:
            cores = Cores.split()
            # The load is next to nothing: what is measured has the whole machine.
            everything = cores.measured | cores.load
            with running_system(Path(folder) / "system", everything) as system:
                ports = json.loads((system.data / "run.json").read_text())["ports"]
                live = f"http://127.0.0.1:{ports['AUTH_OPS_PORT']}/health/live"
                pid = system.pids["auth"]
                watch = Watch(live, pid)
                time.sleep(REST_SECONDS)
                idle, _ = watch.end()
                print(f"at rest: live_p99_ms {at_share(idle, 0.99)}, of {len(idle)}")
                for number in range(1, options.rounds + 1):
                    before = resident_bytes(pid)
                    watch = Watch(live, pid)
                    name = f"storm{number}"
                    seen = asyncio.run(storm(system.requests["login"], options.count, name))
                    ordered, peak = watch.end()
                    memory = (before, peak, resident_bytes(pid))
                    time.sleep(LOG_SECONDS)
                    order = Order.of(seen, system.data / "logs" / "auth.log", name)
                    figures = figures_of(seen, order, ordered, memory)
                    print(f"storm {number}")
                    for label, value in figures.items():
                        print(f"  {label:26} {value}")
                    good &= not figures["other_answers"] and not seen.without_retry_after
                    good &= not order.overtaken and not order.turned_away_early
                    good &= figures["live_p99_ms"] < WANTED_P99_MS
        except NotMeasured as error:
            print(f"cannot measure: {error}", file=sys.stderr)
            return 1
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
