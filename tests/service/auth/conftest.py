"""Auth as one application on a real database, with a client that speaks its API."""

from __future__ import annotations

import asyncio
import functools
import itertools
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import pytest
from aiohttp import ClientResponse, DummyCookieJar, web
from aiohttp.test_utils import TestClient
from cryptography.hazmat.primitives import serialization
from prometheus_client import CollectorRegistry
from pytest_aiohttp.plugin import AiohttpClient

from services.auth import keys
from services.auth.app import build
from services.auth.handlers import STORE
from services.auth.key_pairs import private_key_of, thumbprint
from services.auth.key_places import sealing_key_place
from services.auth.passwords import hashing
from services.auth.repository.keys import Keys
from services.auth.settings import Settings
from services.auth.usecases.purge import Expired, purge
from shared.app import create_app
from shared.clock import utc_now
from shared.sealing import SealingKeys
from tests.sealing import OLD
from tests.tokens import private_key

PASSWORD = "seven-lazy-otters-paint"
# A busy machine must not make a test see 503; those about it say what they need.
SERVICE_KEY = "the-service-key-of-the-tests-only"
PATIENT = {
    "service_credentials": SERVICE_KEY,
    "encryption_keys": OLD,
    "hash_queue": 200,
    "hash_queue_seconds": 60.0,
}
_NUMBERS = itertools.count()
Client = TestClient[web.Request, web.Application]
_REAL_COST = {"TIME_COST": hashing.TIME_COST, "MEMORY_KIB": hashing.MEMORY_KIB}
_AT_REST = SealingKeys.parse(OLD)
_CHEAP_COST = {"TIME_COST": 1, "MEMORY_KIB": 8}
# Reading a key takes as long as a hash, since it looks whether the primes are primes.
_read_once = functools.cache(private_key_of)


@dataclass
class Auth:
    """The service under test. `settings` may be varied with `start`."""

    client: Client
    database_url: str
    registry: CollectorRegistry

    async def post(
        self, path: str, body: Any = None, *, token: str | None = None, **more: Any
    ) -> ClientResponse:
        headers = {**more.pop("headers", {})}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        return await self.client.post(f"/v1/auth/{path}", json=body, headers=headers, **more)

    async def profile(self, token: str) -> ClientResponse:
        return await self.client.get(
            "/v2/auth/profile", headers={"Authorization": f"Bearer {token}"}
        )

    async def register(self, email: str | None = None, password: str = PASSWORD) -> dict[str, Any]:
        """The grant of a new account; the address is one of its own unless given."""
        email = email or f"person{next(_NUMBERS)}@example.com"
        answer = await self.post(
            "register", {"name": "Ada Lovelace", "email": email, "password": password}
        )
        assert answer.status == 201, await answer.text()
        grant: dict[str, Any] = await answer.json()
        return grant

    async def log_in(self, email: str, password: str = PASSWORD) -> ClientResponse:
        return await self.post("login", {"email": email, "password": password})

    async def refresh(self, refresh_token: str) -> ClientResponse:
        return await self.post("refresh", {"refresh_token": refresh_token})

    async def service_token(self, key: str = SERVICE_KEY) -> ClientResponse:
        return await self.client.post("/internal/token", headers={"X-Service-Key": key})

    async def revocations(self, *, after: int = 0, wait: int = 0) -> dict[str, Any]:
        """A page of the feed, as a gateway gets it."""
        token = (await (await self.service_token()).json())["access_token"]
        answer = await self.client.get(
            "/internal/revocations",
            params={"after": after, "wait": wait},
            headers={"X-Service-Token": token},
        )
        assert answer.status == 200, await answer.text()
        page: dict[str, Any] = await answer.json()
        return page

    async def sql(self, statement: str, *arguments: Any) -> list[Any]:
        """Runs a statement beside the service."""
        connection = await asyncpg.connect(self.database_url)
        try:
            rows: list[Any] = await connection.fetch(statement, *arguments)
            return rows
        finally:
            await connection.close()

    async def purge(self, now: datetime, *, kept: timedelta = timedelta(hours=1)) -> int:
        """Removes what has ended, and revocations that old; how many rows."""
        store = self.client.app[STORE]
        ends = {what: now - kept if what is Expired.REVOCATIONS else now for what in Expired}
        return sum([await purge(store, what, before) for what, before in ends.items()])

    def metric(self, name: str, **labels: str) -> float:
        """A sample of the service's metrics; 0 when there is none."""
        return self.registry.get_sample_value(name, labels) or 0.0


async def _give_keys(database_url: str) -> None:
    private = private_key().private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    connection = await asyncpg.connect(database_url)
    try:
        await Keys(connection).add_active(
            thumbprint(private_key().public_key()), private, utc_now()
        )
        # With one of these missing it makes a signing key as well, in case that is missing too.
        for purpose in keys.Seal:
            sealed = _AT_REST.seal(secrets.token_bytes(32), sealing_key_place(purpose))
            await Keys(connection).add_sealing(purpose, sealed, utc_now())
    finally:
        await connection.close()


Start = Callable[..., Awaitable[Auth]]


@pytest.fixture(autouse=True)
def _without_waste(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes cost next to nothing, and a key that was read before is not read again."""
    for name, value in _CHEAP_COST.items():
        monkeypatch.setattr(hashing, name, value)
    monkeypatch.setattr(keys, "private_key_of", _read_once)


@pytest.fixture
def real_hashes(_without_waste: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes cost what they cost in production: where that is the subject, or who comes first."""
    for name, value in _REAL_COST.items():
        monkeypatch.setattr(hashing, name, value)


@pytest.fixture
def start(auth_database_url: str, aiohttp_client: AiohttpClient) -> Start:
    """Starts a replica of auth with other settings than the default.

    It finds its keys unless asked not to, because making them takes longer than most tests.
    """

    async def start_one(*, makes_its_key: bool = False, **changes: Any) -> Auth:
        if not makes_its_key:
            await _give_keys(auth_database_url)
        settings = Settings(**{"database_url": auth_database_url, **PATIENT, **changes})
        service = build(settings)
        app = create_app(service, settings)
        client = await aiohttp_client(app, cookie_jar=DummyCookieJar())
        return Auth(client, auth_database_url, service.registry)

    return start_one


@pytest.fixture
async def auth(start: Start) -> Auth:
    return await start()


async def error_of(answer: ClientResponse) -> tuple[int, str]:
    """Status and code of a refusal."""
    return answer.status, (await answer.json())["error"]["code"]


async def details_of(answer: ClientResponse) -> dict[str, Any]:
    """The fields that a refusal names."""
    details: dict[str, Any] = (await answer.json())["error"]["details"]
    return details


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    """Waits until something is so that nobody announces; fails after half a minute."""
    async with asyncio.timeout(30):
        for pause in itertools.chain((0.0, 0.01, 0.02), itertools.repeat(0.05)):
            if await holds():
                return
            await asyncio.sleep(pause)
