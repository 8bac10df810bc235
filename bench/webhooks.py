"""What one worker delivers in a second, and whether a dead receiver moves the lag of the others.

`python -m bench.webhooks` starts a PostgreSQL and the worker, queues a heap of events for ten fast
receivers, and then feeds events at a fixed rate: to ten fast receivers, and to nine beside one that
hangs, refuses, crawls or answers 500. The lag of an event is from its commit to its arrival.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
import uuid
from collections import defaultdict
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import asyncpg
import orjson
from aiohttp import web

from bench.crash.cluster import Cluster
from bench.crash.patience import until
from bench.crash.programs import Program
from bench.processes import cpu_seconds, free_port

ENDPOINTS = 10
DEAD = "0"
DEATHS = ("none", "hangs", "refuses", "crawls", "fails")
_TICK_SECONDS = 0.02
_FEED = "INSERT INTO feeds VALUES ($1, 0, 0, 0)"
_EVENTS = """
    WITH moved AS (
        UPDATE feeds SET sequence = sequence + $2::int WHERE owner_id = $1 RETURNING sequence
    ), recorded AS (
        INSERT INTO changes SELECT $1, moved.sequence - n, new_id(), 'task.created', new_id(),
            clock_timestamp(), '{"title": "A task that somebody is told of"}'::json, NULL
        FROM moved, generate_series(0, $2::int - 1) AS n RETURNING *
    )
    INSERT INTO deliveries (webhook_id, owner_id, sequence, event_id, type, task_id)
    SELECT webhooks.id, owner_id, sequence, recorded.id, type, task_id
    FROM recorded JOIN webhooks USING (owner_id)
"""
_HOOK = """
    INSERT INTO webhooks (id, owner_id, url, events, enabled, created_at, updated_at, secret)
    VALUES (new_id(), $1, $2, ARRAY['task.created'], true, now(), now(), '\\x00')
"""


@dataclass
class Receivers:
    """Ten of them on one port; the lag of each event by the name of its receiver."""

    death: str = "none"
    lags: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    @property
    def good(self) -> int:
        """Events that came to those who are well."""
        return sum(len(lags) for name, lags in self.lags.items() if not self.dead(name))

    def dead(self, name: str) -> bool:
        """Whether this receiver is the dead one."""
        return name == DEAD and self.death != "none"

    async def take(self, request: web.Request) -> web.Response:
        """Answers at once, unless it is the dead one."""
        now, name = time.time(), request.match_info["name"]
        event = orjson.loads(await request.read())
        self.lags[name].append(now - datetime.fromisoformat(event["timestamp"]).timestamp())
        if self.dead(name):
            await asyncio.sleep({"hangs": 3600, "crawls": 5}.get(self.death, 0))
            return web.Response(status=500 if self.death == "fails" else 204)
        return web.Response(status=204)


@dataclass
class Bench:
    """What is running."""

    database: asyncpg.Connection
    worker: Program
    receivers: Receivers
    url: str

    async def owner(self) -> uuid.UUID:
        """A new owner with ten webhooks; nobody listens where the first one refuses."""
        owner = uuid.uuid4()
        await self.database.execute("DELETE FROM webhooks")
        await self.database.execute(_FEED, owner)
        for number in range(ENDPOINTS):
            refused = self.receivers.death == "refuses" and str(number) == DEAD
            url = f"http://127.0.0.1:{free_port()}/" if refused else f"{self.url}/{number}"
            await self.database.execute(_HOOK, owner, url)
        self.receivers.lags.clear()
        return owner

    async def heap(self, events: int) -> str:
        """Deliveries a second with everything queued beforehand."""
        self.receivers.death = "none"
        await self.database.execute(_EVENTS, await self.owner(), events)
        wanted = events * ENDPOINTS
        began, before = time.perf_counter(), cpu_seconds(self.worker.process_id)
        await until(lambda: self.receivers.good >= wanted)
        seconds = time.perf_counter() - began
        cpu = cpu_seconds(self.worker.process_id) - before
        return (
            f"{wanted} deliveries to {ENDPOINTS} receivers: {wanted / seconds:.0f}/s, "
            f"{cpu / wanted * 1e6:.0f} us of the worker's CPU each"
        )

    async def flow(self, death: str, rate: int, seconds: int) -> str:
        """The lag of those who are well, with `rate` events a second for every one of them."""
        self.receivers.death = death
        owner = await self.owner()
        each, total = max(1, round(rate * _TICK_SECONDS)), 0
        began = time.perf_counter()
        while total < rate * seconds:
            await self.database.execute(_EVENTS, owner, each)
            total += each
            await asyncio.sleep(max(0.0, began + total / rate - time.perf_counter()))
        well = ENDPOINTS if death == "none" else ENDPOINTS - 1
        await until(lambda: self.receivers.good >= total * well)
        names = [str(number) for number in range(ENDPOINTS)]
        lags = {
            name: sorted(self.receivers.lags[name])
            for name in names
            if not self.receivers.dead(name)
        }
        every = sorted(lag for some in lags.values() for lag in some)
        slowest = max(_at(some, 0.99) for some in lags.values())
        return (
            f"{death:<8} {total * well:>7} {_at(every, 0.5):>9.1f} {_at(every, 0.99):>9.1f} "
            f"{slowest:>13.1f} {every[-1] * 1e3:>9.1f}"
        )


def _at(lags: list[float], share: float) -> float:
    """The lag at that share of the sorted ones, in milliseconds."""
    return lags[min(len(lags) - 1, int(len(lags) * share))] * 1e3


async def measure(folder: Path, *, events: int, rate: int, seconds: int) -> None:
    """Prints the figures as they come."""
    async with AsyncExitStack() as stack:
        log = stack.enter_context((folder / "webhooks.log").open("ab"))
        cluster = Cluster(folder / "cluster", log)
        stack.callback(cluster.stop)
        await cluster.start()
        cluster.create_database()
        port = free_port()
        environment = {
            "TASKS_DATABASE_URL": cluster.url,
            "ENVIRONMENT": "development",
            "TASKS_WORKER_OPS_PORT": str(port),
            "WEBHOOKS_ALLOW_PRIVATE": "true",
            "LOG_LEVEL": "ERROR",
        }
        await Program("migrate", port=0, environment=environment, log=log).run_to_its_end()
        worker = Program("worker", port=port, environment=environment, log=log)
        stack.push_async_callback(worker.kill)
        await worker.start()
        receivers = Receivers()
        app = web.Application()
        app.router.add_post("/{name}", receivers.take)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        database = await asyncpg.connect(cluster.url)
        stack.push_async_callback(database.close)
        bench = Bench(database, worker, receivers, f"http://127.0.0.1:{runner.addresses[0][1]}")
        sys.stdout.write(f"{await bench.heap(events)}\n\n")
        sys.stdout.write(
            f"Lag in ms of the receivers that are well, {rate} events/s for each of {ENDPOINTS}\n"
            f"{'the 10th':<8} {'events':>7} {'p50':>9} {'p99':>9} {'p99 of worst':>13} "
            f"{'longest':>9}\n"
        )
        for death in DEATHS:
            sys.stdout.write(f"{await bench.flow(death, rate, seconds)}\n")


def main() -> None:
    """Reads the options and measures."""
    parser = argparse.ArgumentParser(prog="bench.webhooks", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000, help="in the heap, for each receiver")
    parser.add_argument("--rate", type=int, default=100, help="events a second for each receiver")
    parser.add_argument("--seconds", type=int, default=20, help="of each flow of events")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tasklane-webhooks-") as name:
        asyncio.run(
            measure(Path(name), events=options.events, rate=options.rate, seconds=options.seconds)
        )


if __name__ == "__main__":
    main()
