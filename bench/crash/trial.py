"""One trial: everything is started, killed again and again, and held to what was acknowledged."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import orjson
from aiohttp import ClientSession, web

from bench.crash.cluster import Cluster
from bench.crash.patience import until
from bench.crash.programs import Program
from bench.crash.receiver import Receiver
from bench.crash.verdict import problems_of
from bench.crash.writer import Caller, Owner, Writer
from bench.identity import Identity, make_identity
from bench.processes import free_port

VICTIMS = ("tasks", "worker", "postgres")
OWNERS, WRITERS_OF_EACH = 2, 3


@dataclass
class Findings:
    """What was done, and what is wrong; a good trial has no problems."""

    kills: Counter[str] = field(default_factory=Counter)
    seen: Counter[str] = field(default_factory=Counter)
    acknowledged: int = 0
    changes: int = 0
    received: int = 0
    problems: list[str] = field(default_factory=list)


async def crash(folder: Path, *, rounds: int, acts: int, seed: int) -> Findings:
    """Kills one process in each round, after `acts` more acknowledged acts of the writers.

    `folder` gets the data and the logs. Raises TimeoutError when something does not come back,
    and RuntimeError for an answer that must not be.
    """
    chance = random.Random(seed)
    findings = Findings()
    receiver = Receiver(random.Random(seed + 1))
    async with AsyncExitStack() as stack:
        system = await stack.enter_async_context(_system(folder, receiver))
        session = await stack.enter_async_context(ClientSession())
        owners = [Owner(str(uuid.UUID(int=seed << 8 | n)), "") for n in range(1, OWNERS + 1)]
        callers = {}
        for owner in owners:
            owner.token = system.identity.token_of(owner.id)
            callers[owner.id] = Caller(session, system.url, owner.token, findings.seen)
            await _listen(owner, callers[owner.id], receiver, system.receiver_url)
        writers = [
            Writer(f"w{place}", owner, callers[owner.id], random.Random(seed * 1_000 + place))
            for place, owner in enumerate(owners * WRITERS_OF_EACH)
        ]
        await _kill_again_and_again(system, writers, findings, chance, rounds, acts)
        for owner in owners:
            receipts = receiver.receipts[owner.id]
            findings.problems += await problems_of(owner, callers[owner.id], receipts)
            findings.changes += owner.changes
            findings.received += len(receipts)
    if receiver.forged:
        findings.problems.append(f"{receiver.forged} deliveries were not signed as they must be")
    findings.acknowledged = sum(writer.acknowledged for writer in writers)
    return findings


@dataclass(frozen=True)
class System:
    """What is running; `victims` by name."""

    url: str
    receiver_url: str
    identity: Identity
    victims: dict[str, Cluster | Program]


@asynccontextmanager
async def _system(folder: Path, receiver: Receiver) -> AsyncIterator[System]:
    """PostgreSQL, tasks and its worker; who stands for auth and for the receivers is not killed."""
    identity = make_identity(folder)
    async with AsyncExitStack() as stack:
        log = stack.enter_context((folder / "crash.log").open("ab"))
        cluster = Cluster(folder / "cluster", log)
        stack.callback(cluster.stop)
        await cluster.start()
        cluster.create_database()
        port, ops_port, worker_port = free_port(), free_port(), free_port()
        environment = {
            "TASKS_DATABASE_URL": cluster.url,
            "AUTH_JWKS_URL": await _served(stack, _keys(identity)),
            "ENVIRONMENT": "development",
            "LOG_LEVEL": "ERROR",
            "TASKS_PORT": str(port),
            "TASKS_OPS_PORT": str(ops_port),
            "TASKS_WORKER_OPS_PORT": str(worker_port),
            "WEBHOOKS_ALLOW_PRIVATE": "true",
            "WEBHOOKS_SCHEDULE_SCALE": "0",
            "WEBHOOKS_POLL_SECONDS": "0.02",
            "WEBHOOKS_TIMEOUT_SECONDS": "1",
        }
        await Program("migrate", port=0, environment=environment, log=log).run_to_its_end()
        victims: dict[str, Cluster | Program] = {
            "tasks": Program(port=port, environment=environment, log=log),
            "worker": Program("worker", port=worker_port, environment=environment, log=log),
            "postgres": cluster,
        }
        for name in ("tasks", "worker"):
            stack.push_async_callback(victims[name].kill)
            await victims[name].start()
        receiver_url = (await _served(stack, receiver.app())).rstrip("/")
        yield System(f"http://127.0.0.1:{port}", receiver_url, identity, victims)


async def _served(stack: AsyncExitStack, app: web.Application) -> str:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return f"http://127.0.0.1:{runner.addresses[0][1]}/"


def _keys(identity: Identity) -> web.Application:
    """Stands for auth: the keys that verify the tokens."""

    async def keys(_request: web.Request) -> web.Response:
        return web.Response(body=identity.key_set.read_bytes(), content_type="application/json")

    app = web.Application()
    app.router.add_get("/", keys)
    return app


async def _listen(owner: Owner, caller: Caller, receiver: Receiver, url: str) -> None:
    """Has the owner's events delivered to us."""
    answer = await caller.insist("POST", "/v2/webhooks", {"url": f"{url}/{owner.id}"}, "hook")
    if answer.status != 201:
        raise RuntimeError(f"POST /v2/webhooks answered {answer.status}: {answer.body[:300]!r}")
    receiver.expect(owner.id, orjson.loads(answer.body)["secret"])


async def _kill_again_and_again(
    system: System,
    writers: list[Writer],
    findings: Findings,
    chance: random.Random,
    rounds: int,
    acts: int,
) -> None:
    stop = asyncio.Event()
    running = [asyncio.create_task(writer.run(stop)) for writer in writers]
    try:
        for number in range(rounds):
            await _more_acts(writers, running, acts)
            # Every victim comes up in three rounds, in an order that chance gives.
            if number % len(VICTIMS) == 0:
                order = chance.sample(VICTIMS, len(VICTIMS))
            name = order[number % len(VICTIMS)]
            await system.victims[name].kill()
            findings.kills[name] += 1
            await system.victims[name].start()
        await _more_acts(writers, running, acts)
        stop.set()
        await asyncio.gather(*running)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _more_acts(writers: list[Writer], running: list[asyncio.Task[None]], acts: int) -> None:
    """Returns once that many more have been acknowledged; what ends a writer is raised."""
    wanted = sum(writer.acknowledged for writer in writers) + acts

    def enough() -> bool:
        for task in running:
            if task.done():
                task.result()
        return sum(writer.acknowledged for writer in writers) >= wanted

    await until(enough, pause_seconds=0.002)
