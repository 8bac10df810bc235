"""Revocation felt at the door: real auth replicas, real gateways, one database."""

from __future__ import annotations

import asyncio

import jwt
import pytest
from aiohttp import ClientError, web

from tests.integration.doors import AuthProcess, Open, echo, ends
from tests.service.auth.conftest import eventually
from tests.service.gateway.door import Door, Upstream

PASSWORD = "seven-lazy-otters-paint"
PERSON = {"name": "Ada Lovelace", "email": "ada@example.com", "password": PASSWORD}


async def register(opened: Door) -> str:
    answer, grant = await opened.ask("POST", "/api/v1/auth/register", json=PERSON)
    assert answer.status == 201
    token: str = grant["access_token"]
    return token


async def status(opened: Door, token: str) -> int:
    return (await opened.get("/api/v1/tasks", token=token))[0].status


async def test_a_logout_at_one_gateway_is_felt_at_all(open_door: Open) -> None:
    one, other = await open_door(), await open_door()
    token = await register(one)
    assert [await status(one, token), await status(other, token)] == [200, 200]
    assert (await one.ask("POST", "/api/v1/auth/logout", token=token))[0].status == 204

    async def refused() -> bool:
        return {await status(one, token), await status(other, token)} == {401}

    await eventually(refused)
    metrics = await other.metrics()
    assert "revocation_lag_seconds_count 1.0" in metrics
    answer, _ = await other.get("/api/v1/tasks", token=token)
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


async def test_an_open_websocket_of_a_session_that_ends_is_closed(
    open_door: Open, service: Upstream
) -> None:
    service.answers["/v1/tasks/live"] = echo
    opened = await open_door()
    token = await register(opened)
    url = f"{opened.url}/api/v1/tasks/live"
    headers = {"Authorization": f"Bearer {token}"}
    async with opened.session.ws_connect(url, headers=headers) as socket:
        await socket.send_str("hello")
        assert await socket.receive_str(timeout=10) == "hello"
        assert (await opened.ask("POST", "/api/v1/auth/logout", token=token))[0].status == 204
        await ends(socket)


async def test_an_open_stream_of_a_session_that_ends_is_broken_off(
    open_door: Open, service: Upstream
) -> None:
    async def stream(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        await answer.write(b"data: 1\n\n")
        # Until the gateway hangs up: the server's end would wait for a plain sleep.
        while True:
            await asyncio.sleep(0.05)
            await answer.write(b": still here\n\n")

    service.answers["/v1/tasks/live"] = stream
    opened = await open_door()
    token = await register(opened)
    headers = {"Authorization": f"Bearer {token}"}
    async with opened.session.get(f"{opened.url}/api/v1/tasks/live", headers=headers) as answer:
        assert await answer.content.readline() == b"data: 1\n"
        assert (await opened.ask("POST", "/api/v1/auth/logout", token=token))[0].status == 204
        with pytest.raises((ClientError, OSError)):
            await asyncio.wait_for(answer.content.read(), 10)


async def test_what_was_revoked_while_a_gateway_was_cut_off_is_learnt_when_auth_is_back(
    open_door: Open, auth: AuthProcess, auth_database_url: str
) -> None:
    opened = await open_door()
    token = await register(opened)
    assert await status(opened, token) == 200
    await auth.stop()
    # Known tokens are served meanwhile.
    assert await status(opened, token) == 200
    elsewhere = AuthProcess(auth_database_url)
    await elsewhere.start()
    async with opened.session.post(
        f"{elsewhere.url}/v1/auth/logout", headers={"Authorization": f"Bearer {token}"}
    ) as answer:
        assert answer.status == 204
    await elsewhere.stop()
    await auth.start()

    async def refused() -> bool:
        return await status(opened, token) == 401

    await eventually(refused)


async def test_the_next_replica_is_asked_when_one_is_gone(
    open_door: Open, auth: AuthProcess, auth_database_url: str
) -> None:
    second = AuthProcess(auth_database_url)
    await second.start()
    opened = await open_door(auth_upstream=f"{auth.url},{second.url}")
    token = await register(opened)
    await auth.stop()
    async with opened.session.post(
        f"{second.url}/v1/auth/logout", headers={"Authorization": f"Bearer {token}"}
    ) as answer:
        assert answer.status == 204

    async def refused() -> bool:
        return await status(opened, token) == 401

    await eventually(refused)
    await second.stop()


async def test_a_gateway_that_cannot_know_what_is_revoked_refuses_every_token(
    open_door: Open, auth: AuthProcess
) -> None:
    opened = await open_door()
    token = await register(opened)
    await auth.stop()
    late = await open_door(ready=False)
    assert await status(late, token) == 503
    # Who says nothing of himself is not concerned.
    assert (await late.get("/api/versions"))[0].status == 200
    await auth.start()

    async def served() -> bool:
        return await status(late, token) == 200

    await eventually(served)


async def test_an_api_key_goes_in_and_a_token_of_its_rights_comes_out(
    open_door: Open, service: Upstream
) -> None:
    opened = await open_door()
    token = await register(opened)
    answer, made = await opened.ask(
        "POST",
        "/api/v2/auth/api-keys",
        token=token,
        json={"name": "reader", "scopes": ["tasks:read"]},
    )
    assert answer.status == 201
    for _ in range(2):
        by_key, _ = await opened.get("/api/v2/tasks", headers={"X-API-Key": made["key"]})
        assert by_key.status == 200
    request = service.seen[-1]
    assert "X-API-Key" not in request.headers
    claims = jwt.decode(
        request.headers["Authorization"].removeprefix("Bearer "),
        options={"verify_signature": False},
    )
    assert (claims["sid"], claims["scope"]) == (made["id"], "tasks:read")
    metrics = await opened.metrics()
    assert 'api_key_lookups_total{result="hit"} 1.0' in metrics
    assert 'api_key_lookups_total{result="miss"} 1.0' in metrics


async def test_a_revoked_api_key_is_refused_at_every_gateway(open_door: Open) -> None:
    one, other = await open_door(), await open_door()
    token = await register(one)
    _, made = await one.ask("POST", "/api/v2/auth/api-keys", token=token, json={"name": "bot"})
    headers = {"X-API-Key": made["key"]}

    async def by_key() -> list[int]:
        asked = [await opened.get("/api/v2/tasks", headers=headers) for opened in (one, other)]
        return [answer.status for answer, _ in asked]

    assert await by_key() == [200, 200]
    path = f"/api/v2/auth/api-keys/{made['id']}"
    assert (await one.ask("DELETE", path, token=token))[0].status == 204

    async def refused() -> bool:
        return await by_key() == [401, 401]

    await eventually(refused)


async def test_a_logout_everywhere_costs_an_api_key_no_request(open_door: Open) -> None:
    opened = await open_door()
    token = await register(opened)
    _, made = await opened.ask("POST", "/api/v2/auth/api-keys", token=token, json={"name": "bot"})
    headers = {"X-API-Key": made["key"]}
    assert (await opened.get("/api/v2/tasks", headers=headers))[0].status == 200
    out, _ = await opened.ask("POST", "/api/v1/auth/logout", token=token, json={"all": True})
    assert out.status == 204

    async def refused() -> bool:
        assert (await opened.get("/api/v2/tasks", headers=headers))[0].status == 200
        return await status(opened, token) == 401

    await eventually(refused)
    assert (await opened.get("/api/v2/tasks", headers=headers))[0].status == 200


async def test_with_auth_away_a_known_key_serves_and_an_unknown_one_does_not(
    open_door: Open, auth: AuthProcess
) -> None:
    opened = await open_door()
    token = await register(opened)
    known, unknown = [
        (await opened.ask("POST", "/api/v2/auth/api-keys", token=token, json={"name": name}))[1]
        for name in ("known", "unknown")
    ]

    async def by(key: str) -> int:
        return (await opened.get("/api/v2/tasks", headers={"X-API-Key": key}))[0].status

    assert await by(known["key"]) == 200
    await auth.stop()
    assert [await by(known["key"]), await by(unknown["key"]), await by("junk")] == [200, 503, 401]
