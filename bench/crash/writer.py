"""Somebody who writes and insists: everything is asked for until it is acknowledged."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson
from aiohttp import ClientError, ClientSession, ClientTimeout

_TIMEOUT = ClientTimeout(total=20)
_PAUSE_SECONDS = 0.02
_BULK = 3


class Answer(NamedTuple):
    """An answer with a body that is compared byte by byte."""

    status: int
    body: bytes
    replayed: bool


@dataclass
class Known:
    """What a writer knows of one task of his, by what was acknowledged."""

    title: str
    completed: bool = False
    live: bool = True


@dataclass
class Owner:
    """One owner, his token, and what has been acknowledged to his writers."""

    id: str
    token: str
    tasks: dict[str, Known] = field(default_factory=dict)
    # Every one of them is one event of the feed.
    changes: int = 0
    kept: dict[tuple[str, str], tuple[Any, bytes]] = field(default_factory=dict)


class Caller:
    """Calls the service as one owner, and counts what came of it."""

    def __init__(self, session: ClientSession, url: str, token: str, seen: Counter[str]) -> None:
        self._session = session
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._seen = seen

    async def once(self, method: str, path: str, body: Any = None, key: str = "") -> Answer:
        """One attempt. Raises ClientError, OSError and TimeoutError."""
        headers = {**self._headers, "Idempotency-Key": key} if key else self._headers
        data = None if body is None else orjson.dumps(body)
        async with self._session.request(
            method, self._url + path, data=data, headers=headers, timeout=_TIMEOUT
        ) as answer:
            text = await answer.read()
            return Answer(answer.status, text, "Idempotent-Replayed" in answer.headers)

    async def insist(self, method: str, path: str, body: Any = None, key: str = "") -> Answer:
        """Until there is an answer that says what has become of it."""
        while True:
            try:
                answer = await self.once(method, path, body, key)
            except (ClientError, OSError, TimeoutError):
                self._seen["without an answer"] += 1
            else:
                if answer.status not in (409, 503):
                    self._seen["replayed"] += answer.replayed
                    return answer
                self._seen[f"status {answer.status}"] += 1
            await asyncio.sleep(_PAUSE_SECONDS)

    async def read(self, path: str) -> Any:
        """The data of a GET that must succeed."""
        answer = await self.insist("GET", path)
        if answer.status != 200:
            raise RuntimeError(f"GET {path} answered {answer.status}: {answer.body[:300]!r}")
        return orjson.loads(answer.body)


class Writer:
    """Writes tasks that no other writer touches, so that it knows how they must end."""

    def __init__(self, name: str, owner: Owner, caller: Caller, chance: random.Random) -> None:
        self._owner = owner
        self._caller = caller
        self._chance = chance
        self._names = (f"{name}-{number}" for number in itertools.count())
        self._mine: list[str] = []
        self.acknowledged = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Goes on until `stop`; what was begun is brought to its end."""
        acts = (self._create, self._create, self._bulk, self._change, self._change, self._move)
        while not stop.is_set():
            await self._chance.choice(acts)()
            self.acknowledged += 1

    async def _create(self) -> None:
        name = next(self._names)
        task = await self._keyed("/v2/tasks", {"title": name}, name, 201)
        self._book([task])

    async def _bulk(self) -> None:
        names = [next(self._names) for _ in range(_BULK)]
        body = {"mode": "atomic", "tasks": [{"title": name} for name in names]}
        answer = await self._keyed("/v2/tasks/bulk", body, names[0], 201)
        self._book([one["task"] for one in answer["results"]])

    async def _change(self) -> None:
        task_id = self._some(live=True)
        if task_id is None:
            return
        known, title = self._owner.tasks[task_id], next(self._names)
        fields = {"title": title, "completed": not known.completed}
        answer = await self._caller.insist("PATCH", f"/v2/tasks/{task_id}", fields)
        self._expect(answer, 200, "PATCH")
        known.title, known.completed = title, not known.completed
        self._owner.changes += 1

    async def _move(self) -> None:
        """Into the trash, or out of it."""
        live = self._chance.random() < 0.6
        task_id = self._some(live=live)
        if task_id is None:
            return
        if live:
            answer = await self._caller.insist("DELETE", f"/v2/tasks/{task_id}")
            # 404: an attempt without an answer had done it.
            if answer.status != 404:
                self._expect(answer, 204, "DELETE")
        else:
            await self._keyed(f"/v2/tasks/{task_id}/restore", None, next(self._names), 200)
        self._owner.tasks[task_id].live = not live
        self._owner.changes += 1

    async def _keyed(self, path: str, body: Any, key: str, wanted: int) -> Any:
        answer = await self._caller.insist("POST", path, body, key)
        self._expect(answer, wanted, f"POST {path}")
        self._owner.kept[path, key] = (body, answer.body)
        return orjson.loads(answer.body)

    def _book(self, tasks: list[dict[str, Any]]) -> None:
        for task in tasks:
            self._owner.tasks[task["id"]] = Known(task["title"])
            self._mine.append(task["id"])
            self._owner.changes += 1

    def _some(self, *, live: bool) -> str | None:
        found = [one for one in self._mine if self._owner.tasks[one].live is live]
        return self._chance.choice(found) if found else None

    def _expect(self, answer: Answer, wanted: int, what: str) -> None:
        if answer.status != wanted:
            raise RuntimeError(f"{what} answered {answer.status}: {answer.body[:300]!r}")
