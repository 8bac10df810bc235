"""A steady load of writes and reads on several gateways that remembers what was acknowledged."""

from __future__ import annotations

import asyncio
import itertools
import random
import secrets
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import aiohttp

PAUSE_SECONDS = 0.02
REQUEST_SECONDS = 15.0


@dataclass
class Load:
    """Workers that create tasks and read them back through any of `doors`."""

    doors: list[str]
    token: str = ""
    acknowledged: set[str] = field(default_factory=set)
    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    _numbers: Any = field(default_factory=itertools.count)

    async def sign_up(self) -> None:
        """Registers the user whose tasks these are."""
        body = {
            "name": "Drill",
            "email": f"drill-{secrets.token_hex(6)}@example.com",
            "password": secrets.token_urlsafe(24),
        }
        async with aiohttp.ClientSession() as session:
            status, answer = await self._ask(session, "POST", "/api/v2/auth/register", body)
        if status != 201:
            raise SystemExit(f"registration answered {status}: {answer}")
        self.token = answer["access_token"]

    async def run(self, workers: int, stop: asyncio.Event) -> None:
        """Sends until `stop` is set."""
        connector = aiohttp.TCPConnector(limit=workers * 2)
        async with aiohttp.ClientSession(connector=connector) as session:
            await asyncio.gather(*(self._work(session, stop) for _ in range(workers)))

    async def missing(self) -> set[str]:
        """The acknowledged tasks that cannot be read any more."""
        left = set(self.acknowledged)
        async with aiohttp.ClientSession() as session:
            for number in itertools.count(1):
                path = f"/api/v2/tasks?page={number}&page_size=100"
                status, page = await self._ask(session, "GET", path)
                if status != 200:
                    raise SystemExit(f"the list answered {status}: {page}")
                left -= {task["id"] for task in page["results"]}
                if page["next"] is None:
                    break
        return left

    async def _work(self, session: aiohttp.ClientSession, stop: asyncio.Event) -> None:
        while not stop.is_set():
            title = f"task {next(self._numbers)}"
            try:
                status, answer = await self._ask(session, "POST", "/api/v2/tasks", {"title": title})
                self._book("POST", status, answer)
                if status == 201:
                    self.acknowledged.add(answer["id"])
                    status, answer = await self._ask(
                        session, "GET", f"/api/v2/tasks/{answer['id']}"
                    )
                    self._book("GET", status, answer)
            except (aiohttp.ClientError, TimeoutError) as error:
                self._book("POST", 0, repr(error))
            await asyncio.sleep(PAUSE_SECONDS)

    def _book(self, method: str, status: int, answer: Any) -> None:
        self.outcomes[f"{method} {status}"] += 1
        if not 200 <= status < 300:
            self.failures.append(f"{method} {status} {answer}")

    async def _ask(
        self, session: aiohttp.ClientSession, method: str, path: str, body: Any = None
    ) -> tuple[int, Any]:
        """As a load balancer: a door that takes no connection is passed over, nothing is resent."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        doors = list(self.doors)
        random.shuffle(doors)
        for turn, door in enumerate(doors):
            try:
                async with session.request(
                    method,
                    door + path,
                    json=body,
                    headers=headers,
                    timeout=aiohttp.ClientTimeout(total=REQUEST_SECONDS),
                ) as answer:
                    return answer.status, await answer.json()
            except aiohttp.ClientConnectorError:
                if turn + 1 == len(doors):
                    raise
        raise TimeoutError("no gateway is ready")
