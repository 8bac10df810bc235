"""One's own sessions: seen, and ended one by one."""

from __future__ import annotations

from typing import Any

from aiohttp import ClientResponse

from tests.service.auth.conftest import PASSWORD, Auth, error_of


async def listed(auth: Auth, token: str) -> list[dict[str, Any]]:
    headers = {"Authorization": f"Bearer {token}"}
    answer = await auth.client.get("/v1/auth/sessions", headers=headers)
    assert answer.status == 200
    found: list[dict[str, Any]] = (await answer.json())["sessions"]
    return found


async def end(auth: Auth, token: str, session_id: str) -> ClientResponse:
    headers = {"Authorization": f"Bearer {token}"}
    return await auth.client.delete(f"/v1/auth/sessions/{session_id}", headers=headers)


async def test_each_login_is_a_session_with_its_device_and_address(auth: Auth) -> None:
    grant = await auth.register("ada@example.com")
    body = {"email": "ada@example.com", "password": PASSWORD}
    headers = {
        "User-Agent": "Phone \u202e" + "x" * 300,
        "X-Client-Address": "203.0.113.7",
    }
    await auth.post("login", body, headers=headers)
    phone, first = await listed(auth, grant["access_token"])
    assert (first["current"], phone["current"]) == (True, False)
    assert phone["address"] == "203.0.113.7"
    assert phone["device"].startswith("Phone ")
    assert len(phone["device"]) == 200
    assert phone["device"].isprintable()
    assert first["address"] == "127.0.0.1"


async def test_a_session_is_ended_from_another_and_published(auth: Auth) -> None:
    grant = await auth.register("ada@example.com")
    other = await (await auth.log_in("ada@example.com")).json()
    doomed = next(
        one["id"] for one in await listed(auth, grant["access_token"]) if not one["current"]
    )
    assert (await end(auth, grant["access_token"], doomed)).status == 204
    assert (await auth.refresh(other["refresh_token"])).status == 401
    assert len(await listed(auth, grant["access_token"])) == 1
    assert [one["subject"] for one in (await auth.revocations())["revocations"]] == [doomed]
    assert await error_of(await end(auth, grant["access_token"], doomed)) == (404, "NOT_FOUND")


async def test_nobody_ends_the_session_of_another(auth: Auth) -> None:
    grant, stranger = await auth.register(), await auth.register()
    [mine] = await listed(auth, grant["access_token"])
    assert (await end(auth, stranger["access_token"], mine["id"])).status == 404
    assert (await auth.profile(grant["access_token"])).status == 200


async def test_sessions_that_have_ended_are_not_shown(auth: Auth) -> None:
    grant = await auth.register("ada@example.com")
    for _ in range(2):
        await auth.log_in("ada@example.com")
    await auth.sql(
        "UPDATE sessions SET idle_expires_at = now() WHERE id ="
        " (SELECT max(id::text)::uuid FROM sessions)"
    )
    assert len(await listed(auth, grant["access_token"])) == 2
