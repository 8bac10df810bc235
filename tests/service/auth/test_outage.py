"""The database away: nothing fails open, and all is well when it is back."""

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from services.auth.handlers import KEYS, PASSWORDS
from shared.errors import ServiceUnavailable
from tests.postgres_proxy import Proxy, proxied
from tests.service.auth.conftest import PASSWORD, Start, error_of, eventually


@pytest.fixture
async def proxy(auth_database_url: str) -> AsyncIterator[Proxy]:
    async with proxied(auth_database_url) as proxy:
        yield proxy


async def test_without_the_database_every_operation_says_so_and_lets_nobody_in(
    start: Start, proxy: Proxy
) -> None:
    auth = await start(database_url=proxy.url)
    grant = await auth.register("ada@example.com")
    token = grant["access_token"]
    made = await auth.post("api-keys", {"name": "k"}, token=token)
    service = {"X-Service-Token": (await (await auth.service_token()).json())["access_token"]}
    key = (await made.json())["key"]
    await proxy.shut()
    answers = [
        await auth.client.post("/internal/exchange", json={"api_key": key}, headers=service),
        await auth.client.get("/internal/revocations", headers=service),
        await auth.log_in("ada@example.com"),
        await auth.log_in("nobody@example.com"),
        await auth.refresh(grant["refresh_token"]),
        await auth.profile(token),
        await auth.post("logout", {}, token=token),
        await auth.post(
            "register", {"name": "Ada", "email": "eve@example.com", "password": PASSWORD}
        ),
        await auth.post(
            "password", {"current_password": PASSWORD, "new_password": "x" + PASSWORD}, token=token
        ),
    ]
    for answer in answers:
        assert await error_of(answer) == (503, "SERVICE_UNAVAILABLE")
        assert int(answer.headers["Retry-After"]) >= 1
        assert "asyncpg" not in await answer.text()
    assert (await auth.client.get("/.well-known/jwks.json")).status == 200
    await proxy.listen()
    assert (await auth.log_in("ada@example.com")).status == 200
    assert (await auth.refresh(grant["refresh_token"])).status == 200
    assert (
        await auth.client.post("/internal/exchange", json={"api_key": key}, headers=service)
    ).status == 200


async def test_a_guess_that_cannot_be_settled_gets_no_verdict(start: Start, proxy: Proxy) -> None:
    """Right or wrong, the answer is the same when the database goes during the check."""
    auth = await start(database_url=proxy.url, hash_workers=1, hash_queue=10)
    await auth.register("ada@example.com")
    for password in (PASSWORD, "seven-lazy-badgers-sing"):
        governor, release = auth.client.app[PASSWORDS]._governor, threading.Event()
        holding = asyncio.create_task(governor.run("hash", release.wait))
        guess = asyncio.create_task(auth.log_in("ada@example.com", password))

        async def queued() -> bool:
            # The metric counts a login from its coming on, before it has read the account.
            return len(auth.client.app[PASSWORDS]._governor._ready) == 1

        await eventually(queued)
        await proxy.shut()
        release.set()
        await holding
        assert (await guess).status == 503
        await proxy.listen()
    assert len(await auth.sql("SELECT 1 FROM sessions")) == 1
    assert await auth.sql("SELECT 1 FROM failed_guesses") == []


async def test_it_starts_without_its_database_and_is_ready_when_that_comes(
    start: Start, proxy: Proxy
) -> None:
    auth = await start()
    grant = await auth.register("ada@example.com")
    await proxy.shut()
    late = await start(database_url=proxy.url)
    with pytest.raises(ServiceUnavailable):
        await late.client.app[KEYS].check()
    answer = await late.client.get("/.well-known/jwks.json")
    assert await error_of(answer) == (503, "SERVICE_UNAVAILABLE")
    assert (await late.profile(grant["access_token"])).status == 503
    await proxy.listen()

    async def ready() -> bool:
        return (await late.client.get("/.well-known/jwks.json")).status == 200

    await eventually(ready)
    await late.client.app[KEYS].check()
    assert (await late.profile(grant["access_token"])).status == 200
