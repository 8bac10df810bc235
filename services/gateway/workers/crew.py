"""All workers: how they are begun, asked, told and ended."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import aiohttp
import orjson
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from services.gateway.workers.exposition import LABEL, merged
from services.gateway.workers.worker import Worker
from shared.health import Check
from shared.process import EXIT_CONFIGURATION, StartRefused

log = structlog.get_logger(__name__)

ASK_SECONDS = 2.0
# A first start beyond this is no reason to refuse: the worker goes on trying.
START_SECONDS = 30.0
# What a worker may take to end over what the settings give to its requests.
END_SECONDS = 5.0


def name_of(number: int) -> str:
    """What health reports call a worker."""
    return f"{LABEL}-{number}"


class Crew:
    """`count` workers on the socket `public`, which the crew closes."""

    def __init__(
        self,
        count: int,
        public: socket.socket,
        session: aiohttp.ClientSession,
        registry: CollectorRegistry,
    ) -> None:
        restarts = Counter(
            "gateway_worker_restarts",
            "Workers begun again because the process had died",
            (LABEL,),
            registry=registry,
        )
        self.workers = [
            Worker(number, public, restarts.labels(str(number)).inc) for number in range(count)
        ]
        serving = Gauge("gateway_workers_serving", "Workers that serve", registry=registry)
        serving.set_function(lambda: sum(worker.serves for worker in self.workers))
        self._public = public
        self._session = session

    @property
    def checks(self) -> dict[str, Check]:
        """For each worker whether it is ready, under the name that reports give it."""
        return {name_of(worker.number): partial(self._check, worker) for worker in self.workers}

    @asynccontextmanager
    async def at_work(self, end_seconds: float) -> AsyncIterator[None]:
        """Runs the workers while the block runs; then they have `end_seconds` and a bit to end.

        Raises StartRefused when one of them finds its configuration bad at its first start.
        """
        tasks = [asyncio.create_task(worker.keep_going()) for worker in self.workers]
        try:
            await self._first_start()
            yield
        finally:
            self.stop()
            _, late = await asyncio.wait(tasks, timeout=end_seconds + END_SECONDS)
            if late:
                log.error("workers_killed", count=len(late))
                for worker in self.workers:
                    worker.kill()
            await asyncio.gather(*tasks)

    async def _first_start(self) -> None:
        firsts = [worker.first for worker in self.workers]
        done, _ = await asyncio.wait(firsts, timeout=START_SECONDS)
        if any(first.result() == EXIT_CONFIGURATION for first in done):
            raise StartRefused("a worker cannot start, for the reasons that it has given")

    def reload(self) -> None:
        """Every worker takes its configuration again."""
        for worker in self.workers:
            worker.reload()

    def stop(self) -> None:
        """Every worker drains and ends."""
        # With the last worker's copy the port is closed: nobody waits where none will accept.
        self._public.close()
        for worker in self.workers:
            worker.stop()

    async def _check(self, worker: Worker) -> None:
        """Raises ConnectionError when `worker` is not ready."""
        status, _ = await self._ask(worker, "/health/ready")
        if status != 200:
            raise ConnectionError("not ready")

    async def reports(self) -> dict[int, dict[str, Any]]:
        """What `GET /health` of each worker says; nothing for one that does not answer."""
        found = await self._ask_all("/health")
        return {number: orjson.loads(body) for number, body in found.items()}

    async def figures(self, own: bytes) -> bytes:
        """The metrics of all workers beside those of this process."""
        found = await self._ask_all("/metrics")
        texts = {str(number): body for number, body in found.items()}
        return merged({"supervisor": own, **texts})

    async def _ask_all(self, path: str) -> dict[int, bytes]:
        answers = await asyncio.gather(
            *(self._ask(worker, path) for worker in self.workers), return_exceptions=True
        )
        return {
            worker.number: answer[1]
            for worker, answer in zip(self.workers, answers, strict=True)
            if not isinstance(answer, BaseException)
        }

    async def _ask(self, worker: Worker, path: str) -> tuple[int, bytes]:
        """Status and body. Raises ConnectionError for a worker that is gone, slow or wrong."""
        if not worker.serves:
            raise ConnectionError("it does not serve")
        limit = aiohttp.ClientTimeout(total=ASK_SECONDS)
        try:
            async with self._session.get(worker.ops_url + path, timeout=limit) as answer:
                return answer.status, await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ConnectionError("it does not answer") from error
