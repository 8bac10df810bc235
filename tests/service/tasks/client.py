"""A client of the service under test."""

import json
import uuid
from collections.abc import AsyncIterable, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from aiohttp import ClientSession, web
from yarl import URL

from shared.identity import Role
from tests import tokens


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def data(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The error of the contract's envelope."""
        data = self.data
        assert set(data) == {"error"}
        assert set(data["error"]) == {"code", "message", "details", "request_id"}
        error: dict[str, Any] = data["error"]
        return error

    @property
    def details(self) -> dict[str, Any]:
        details: dict[str, Any] = self.error["details"]
        return details


class Client:
    """Somebody who calls the service; without a role, nobody in particular."""

    def __init__(
        self, session: ClientSession, base_url: str, role: Role | None = Role.USER
    ) -> None:
        self._session = session
        self._base_url = base_url
        self.user_id = str(uuid.uuid4())
        self.token = None if role is None else tokens.token(sub=self.user_id, role=role.value)

    async def call(
        self,
        method: str,
        path: str,
        json_body: Any = None,
        *,
        body: bytes | AsyncIterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Sends `path` as it is written, without encoding it once more."""
        sent = dict(headers or {})
        if self.token is not None:
            sent.setdefault("Authorization", f"Bearer {self.token}")
        if body is None and json_body is not None:
            body = json.dumps(json_body).encode()
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
        # A file, as aiohttp does not like to be given large bytes.
        data = BytesIO(body) if isinstance(body, bytes) else body
        url = URL(self._base_url + path, encoded=True)
        async with self._session.request(method, url, data=data, headers=sent) as answer:
            return Answer(answer.status, answer.headers, await answer.read())

    async def get(self, path: str, **options: Any) -> Answer:
        return await self.call("GET", path, **options)

    async def created(self, **fields: Any) -> dict[str, Any]:
        """A task made in v2."""
        answer = await self.call("POST", "/v2/tasks", {"title": "A task", **fields})
        assert answer.status == 201, answer.body
        task: dict[str, Any] = answer.data
        return task

    async def imported(self, lines: bytes | AsyncIterable[bytes], query: str = "") -> Answer:
        return await self.call(
            "POST",
            f"/v2/tasks/import{query}",
            body=lines,
            headers={"Content-Type": "application/x-ndjson"},
        )

    async def exported(self) -> list[dict[str, Any]]:
        answer = await self.get("/v2/tasks/export?format=jsonl")
        assert answer.status == 200
        return [json.loads(line) for line in answer.body.splitlines()]

    async def changes(self, limit: int = 100) -> list[dict[str, Any]]:
        """The whole feed, read in parts."""
        found: list[dict[str, Any]] = []
        since, more = "", True
        while more:
            answer = await self.get(f"/v2/tasks/changes?since={since}&limit={limit}")
            assert answer.status == 200, answer.body
            found += answer.data["changes"]
            since, more = answer.data["next"], answer.data["has_more"]
        return found

    async def replayed(self) -> dict[str, Any]:
        """The tasks by id, as somebody knows them who only ever followed the feed."""
        tasks: dict[str, Any] = {}
        for place, change in enumerate(await self.changes(), 1):
            assert change["sequence"] == place
            if change["type"] == "task.deleted":
                del tasks[change["task_id"]]
            else:
                tasks[change["task_id"]] = change["task"]
        return tasks

    async def stored(self) -> dict[str, Any]:
        """The tasks by id as lists show them; their counts must be right as well."""
        tasks: dict[str, Any] = {}
        cursor: str | None = ""
        while cursor is not None:
            page = (await self.get(f"/v2/tasks?page_size=100&cursor={cursor}")).data
            tasks.update({task["id"]: task for task in page["results"]})
            cursor = page["next_cursor"]
        done = sum(task["completed"] for task in tasks.values())
        for query, count in (("", len(tasks)), ("&completed=true", done)):
            assert (await self.get(f"/v2/tasks?page_size=1{query}")).data["count"] == count
        return tasks


async def address_of(runner: web.BaseRunner) -> str:
    """Binds `runner` to a free port."""
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    return f"http://{host}:{port}"
