"""Accounts in the hands of administrators and moderators."""

from __future__ import annotations

import asyncio
from typing import Any

import jwt
import pytest
from aiohttp import ClientResponse

from tests.service.auth.conftest import PASSWORD, Auth, details_of, error_of

NOBODY = "0199a6f0-c0de-7000-8000-00000000dead"


async def ask(
    auth: Auth, method: str, path: str, *, token: str, body: Any = None
) -> ClientResponse:
    headers = {"Authorization": f"Bearer {token}"}
    return await auth.client.request(method, f"/v2/users{path}", json=body, headers=headers)


async def someone(auth: Auth, role: str = "user") -> tuple[str, str]:
    """Id and token of an account with `role`."""
    grant = await auth.register()
    user_id = grant["user"]["id"]
    if role == "user":
        return user_id, grant["access_token"]
    await auth.sql("UPDATE users SET role = $2 WHERE id = $1::text::uuid", user_id, role)
    again = await (await auth.log_in(grant["user"]["email"])).json()
    return user_id, again["access_token"]


@pytest.mark.parametrize("role", ["user", "readonly"])
async def test_who_has_no_right_to_it_sees_and_changes_nothing(auth: Auth, role: str) -> None:
    user_id, token = await someone(auth, role)
    for method, path, body in (
        ("GET", "", None),
        ("POST", "", {}),
        ("GET", f"/{user_id}", None),
        ("PATCH", f"/{user_id}", {"role": "admin"}),
        ("DELETE", f"/{user_id}", None),
    ):
        answer = await ask(auth, method, path, token=token, body=body)
        assert await error_of(answer) == (403, "FORBIDDEN")
    assert (await auth.client.get("/v1/users")).status == 401


async def test_a_moderator_reads_and_bans_and_no_more(auth: Auth) -> None:
    moderator, token = await someone(auth, "moderator")
    user_id, user_token = await someone(auth)
    assert (await ask(auth, "GET", f"/{user_id}", token=token)).status == 200
    for body in (
        {"role": "readonly"},
        {"tier": "premium"},
        {"name": "Somebody", "is_active": False},
    ):
        answer = await ask(auth, "PATCH", f"/{user_id}", token=token, body=body)
        assert await error_of(answer) == (403, "FORBIDDEN")
    assert (await ask(auth, "DELETE", f"/{user_id}", token=token)).status == 403
    banned = await ask(auth, "PATCH", f"/{user_id}", token=token, body={"is_active": False})
    assert banned.status == 200
    assert (await auth.profile(user_token)).status == 401
    # Neither his peers nor those above him, nor himself into more.
    for target in (
        moderator,
        (await someone(auth, "moderator"))[0],
        (await someone(auth, "admin"))[0],
    ):
        answer = await ask(auth, "PATCH", f"/{target}", token=token, body={"is_active": False})
        assert await error_of(answer) == (403, "FORBIDDEN")
    answer = await ask(auth, "PATCH", f"/{moderator}", token=token, body={"role": "admin"})
    assert await error_of(answer) == (403, "FORBIDDEN")


async def test_pages_and_filters(auth: Auth) -> None:
    _, token = await someone(auth, "admin")
    for _ in range(4):
        await auth.register()
    first = await (await ask(auth, "GET", "?page_size=2&role=user", token=token)).json()
    assert (first["count"], len(first["results"]), first["previous"]) == (4, 2, None)
    assert first["next"] == "/api/v2/users?page_size=2&role=user&page=2"
    second = await (await ask(auth, "GET", "?page_size=2&role=user&page=2", token=token)).json()
    assert second["next"] is None
    ids = [user["id"] for user in first["results"] + second["results"]]
    assert ids == sorted(ids, reverse=True)
    email = first["results"][0]["email"]
    found = await (await ask(auth, "GET", f"?email={email.upper()}", token=token)).json()
    assert [user["id"] for user in found["results"]] == ids[:1]
    for query in ("?page=0", "?page_size=101", "?role=root", "?password_hash=x", "?is_active=1"):
        answer = await ask(auth, "GET", query, token=token)
        assert await error_of(answer) == (422, "VALIDATION_ERROR")


async def test_an_administrator_makes_an_account_that_can_log_in(auth: Auth) -> None:
    _, token = await someone(auth, "admin")
    body = {"name": "Mo", "email": "mo@example.com", "password": PASSWORD, "role": "moderator"}
    answer = await ask(auth, "POST", "", token=token, body=body)
    assert answer.status == 201
    made = await answer.json()
    assert answer.headers["Location"] == f"/api/v2/users/{made['id']}"
    assert (made["role"], made["tier"]) == ("moderator", "default")
    assert (await auth.log_in("mo@example.com")).status == 200
    again = await ask(auth, "POST", "", token=token, body=body)
    assert await error_of(again) == (409, "CONFLICT")
    for change in ({"password": "short"}, {"role": "root"}, {"epoch": 7}, {"name": ""}):
        answer = await ask(auth, "POST", "", token=token, body={**body, **change})
        assert await error_of(answer) == (422, "VALIDATION_ERROR")
        assert list(await details_of(answer)) == list(change)


@pytest.mark.parametrize("change", [{"role": "readonly"}, {"tier": "premium"}])
async def test_a_change_of_rights_makes_the_tokens_void_and_not_the_session(
    auth: Auth, change: dict[str, str]
) -> None:
    _, token = await someone(auth, "admin")
    grant = await auth.register()
    user_id = grant["user"]["id"]
    answer = await ask(auth, "PATCH", f"/{user_id}", token=token, body=change)
    assert answer.status == 200
    [one] = (await auth.revocations())["revocations"]
    assert (one["kind"], one["subject"], one["epoch"]) == ("user", user_id, 1)
    renewed = await (await auth.refresh(grant["refresh_token"])).json()
    claims = jwt.decode(renewed["access_token"], options={"verify_signature": False})
    assert claims["epoch"] == 1
    assert change.items() <= claims.items()
    # The same again changes nothing, so nothing is published.
    assert (await ask(auth, "PATCH", f"/{user_id}", token=token, body=change)).status == 200
    assert (await ask(auth, "PATCH", f"/{user_id}", token=token, body={})).status == 200
    named = await ask(auth, "PATCH", f"/{user_id}", token=token, body={"name": "Another Name"})
    assert (await named.json())["name"] == "Another Name"
    assert len((await auth.revocations())["revocations"]) == 1


async def test_a_role_that_was_taken_is_gone_at_once_whatever_the_token_says(auth: Auth) -> None:
    _, chief = await someone(auth, "admin")
    other, token = await someone(auth, "admin")
    assert (await ask(auth, "PATCH", f"/{other}", token=chief, body={"role": "user"})).status == 200
    answer = await ask(auth, "GET", "", token=token)
    assert await error_of(answer) == (403, "FORBIDDEN")


async def test_a_ban_ends_everything_and_can_be_lifted(auth: Auth) -> None:
    _, token = await someone(auth, "admin")
    grant = await auth.register("ada@example.com")
    user_id = grant["user"]["id"]
    ban = await ask(auth, "PATCH", f"/{user_id}", token=token, body={"is_active": False})
    assert (await ban.json())["is_active"] is False
    assert (await auth.profile(grant["access_token"])).status == 401
    assert (await auth.refresh(grant["refresh_token"])).status == 401
    assert (await auth.log_in("ada@example.com")).status == 403
    await ask(auth, "PATCH", f"/{user_id}", token=token, body={"is_active": True})
    assert (await auth.log_in("ada@example.com")).status == 200
    # The sessions from before stay ended.
    assert (await auth.refresh(grant["refresh_token"])).status == 401


@pytest.mark.parametrize("way", ["demote", "ban", "delete"])
async def test_the_last_administrator_stays(auth: Auth, way: str) -> None:
    chief, token = await someone(auth, "admin")
    body = {"demote": {"role": "user"}, "ban": {"is_active": False}, "delete": None}[way]
    method = "DELETE" if way == "delete" else "PATCH"
    answer = await ask(auth, method, f"/{chief}", token=token, body=body)
    assert await error_of(answer) == (409, "CONFLICT")
    assert (await ask(auth, "GET", f"/{chief}", token=token)).status == 200


async def test_two_administrators_who_demote_each_other_leave_one(auth: Auth) -> None:
    (one, one_token), (other, other_token) = [await someone(auth, "admin") for _ in range(2)]
    body = {"role": "user"}
    answers = await asyncio.gather(
        ask(auth, "PATCH", f"/{other}", token=one_token, body=body),
        ask(auth, "PATCH", f"/{one}", token=other_token, body=body),
    )
    assert 200 in {answer.status for answer in answers}
    assert len(await auth.sql("SELECT 1 FROM users WHERE role = 'admin'")) == 1


async def test_a_key_grants_no_more_than_its_scope(auth: Auth) -> None:
    _, token = await someone(auth, "admin")
    scopes = ["users:read", "users:write", "users:ban"]
    made = await (await auth.post("api-keys", {"name": "x", "scopes": scopes}, token=token)).json()
    service = (await (await auth.service_token()).json())["access_token"]
    exchanged = await auth.client.post(
        "/internal/exchange",
        json={"api_key": made["key"]},
        headers={"X-Service-Token": service},
    )
    key_token = (await exchanged.json())["access_token"]
    body = {"name": "Mo", "email": "mo@example.com", "password": PASSWORD, "role": "admin"}
    answer = await ask(auth, "POST", "", token=key_token, body=body)
    assert await error_of(answer) == (403, "FORBIDDEN")
    assert list(await details_of(answer)) == ["role"]
    assert (await ask(auth, "GET", "", token=key_token)).status == 200


async def test_a_deleted_account_leaves_nothing_but_its_id(auth: Auth) -> None:
    _, token = await someone(auth, "admin")
    grant = await auth.register("ursula@example.com")
    user_id = grant["user"]["id"]
    await auth.post("api-keys", {"name": "bot"}, token=grant["access_token"])
    assert (await ask(auth, "DELETE", f"/{user_id}", token=token)).status == 204
    [row] = await auth.sql("SELECT * FROM users WHERE id = $1::text::uuid", user_id)
    # An id is hexadecimal and may hold any word of the letters a to f, so neither of these is one.
    assert "ursula" not in str(dict(row)).lower()
    assert "lovelace" not in str(dict(row)).lower()
    assert await auth.sql("SELECT 1 FROM api_keys") == []
    assert (await auth.profile(grant["access_token"])).status == 401
    assert (await auth.refresh(grant["refresh_token"])).status == 401
    assert (await auth.log_in("ursula@example.com")).status == 401
    for method, body in (("GET", None), ("PATCH", {"is_active": True}), ("DELETE", None)):
        answer = await ask(auth, method, f"/{user_id}", token=token, body=body)
        assert await error_of(answer) == (404, "NOT_FOUND")
    page = await (await ask(auth, "GET", "", token=token)).json()
    assert page["count"] == 1
    # The address is free again.
    await auth.register("ursula@example.com")


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
async def test_an_account_that_is_not_there(auth: Auth, method: str) -> None:
    _, token = await someone(auth, "admin")
    body = {"is_active": False} if method == "PATCH" else None
    answer = await ask(auth, method, f"/{NOBODY}", token=token, body=body)
    assert await error_of(answer) == (404, "NOT_FOUND")
    answer = await ask(auth, method, "/me", token=token, body=body)
    assert await error_of(answer) == (422, "VALIDATION_ERROR")
