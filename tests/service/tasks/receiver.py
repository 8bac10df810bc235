"""Who receives webhooks in tests, and the worker that delivers to them."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import orjson
from aiohttp import web

from services.tasks.settings import Settings
from services.tasks.worker import start_worker
from tests.service.tasks.client import Client

PATIENCE_SECONDS = 20.0


class Receiver:
    """Takes events at `/{name}`; what it answers each name is set by the test."""

    def __init__(self) -> None:
        self.got: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.headers: dict[str, list[dict[str, str]]] = defaultdict(list)
        self.bodies: dict[str, list[bytes]] = defaultdict(list)
        self.answer: Callable[[str, dict[str, Any]], int] = lambda _name, _event: 204
        self.url = ""
        self.hangs: set[str] = set()
        self.answer_headers: dict[str, str] = {}

    async def take(self, request: web.Request) -> web.Response:
        name, body = request.match_info["name"], await request.read()
        event = orjson.loads(body)
        self.got[name].append(event)
        self.bodies[name].append(body)
        self.headers[name].append({key.lower(): value for key, value in request.headers.items()})
        if name in self.hangs:
            await asyncio.sleep(PATIENCE_SECONDS)
        status = self.answer(name, event)
        headers = {"Location": f"{self.url}/elsewhere"} if status == 307 else {}
        return web.Response(status=status, headers={**headers, **self.answer_headers})


@asynccontextmanager
async def working(settings: Settings, **changes: Any) -> AsyncIterator[None]:
    async with start_worker(replace(settings, **changes)):
        yield


async def hook(client: Client, receiver: Receiver, name: str, **fields: Any) -> dict[str, Any]:
    body = {"url": f"{receiver.url}/{name}", **fields}
    answer = await client.call("POST", "/v2/webhooks", body)
    assert answer.status == 201, answer.body
    webhook: dict[str, Any] = answer.data
    return webhook


async def until(condition: Callable[[], bool]) -> None:
    async def holds() -> bool:
        return condition()

    await until_it(holds)


async def until_it(condition: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(int(PATIENCE_SECONDS / 0.02)):
        if await condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it did not come to pass")


async def log_of(client: Client, webhook: dict[str, Any]) -> list[dict[str, Any]]:
    path = f"/v2/webhooks/{webhook['id']}/deliveries?page_size=100"
    found: list[dict[str, Any]] = (await client.get(path)).data["results"]
    return found


async def logged(client: Client, webhook: dict[str, Any], state: str, count: int) -> None:
    async def there() -> bool:
        return [one["state"] for one in await log_of(client, webhook)].count(state) >= count

    await until_it(there)
