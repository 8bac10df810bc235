"""API keys: made, listed, rotated, revoked, and exchanged for tokens."""

from __future__ import annotations

import asyncio
from typing import Any

import jwt
import pytest
from aiohttp import ClientResponse

from shared.api_keys import is_api_key, new_api_key
from tests.service.auth.conftest import PASSWORD, Auth, details_of, error_of


async def exchange(auth: Auth, key: str) -> ClientResponse:
    token = (await (await auth.service_token()).json())["access_token"]
    return await auth.client.post(
        "/internal/exchange", json={"api_key": key}, headers={"X-Service-Token": token}
    )


async def make(auth: Auth, token: str, **body: Any) -> dict[str, Any]:
    answer = await auth.post("api-keys", {"name": "bot", **body}, token=token)
    assert answer.status == 201, await answer.text()
    made: dict[str, Any] = await answer.json()
    return made


async def listed(auth: Auth, token: str) -> list[dict[str, Any]]:
    headers = {"Authorization": f"Bearer {token}"}
    answer = await auth.client.get("/v2/auth/api-keys", headers=headers)
    assert answer.status == 200
    keys: list[dict[str, Any]] = (await answer.json())["api_keys"]
    return keys


async def revoke(auth: Auth, token: str, key_id: str) -> ClientResponse:
    headers = {"Authorization": f"Bearer {token}"}
    return await auth.client.delete(f"/v1/auth/api-keys/{key_id}", headers=headers)


def claims_of(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "a\x00b"}, "name"),
        ({"name": "bot", "scopes": []}, "scopes"),
        ({"name": "bot", "scopes": ["all"]}, "scopes.0"),
        ({"name": "bot", "scopes": "tasks:read"}, "scopes"),
        ({"name": "bot", "expires_at": "2030-01-01T00:00:00"}, "expires_at"),
        ({"name": "bot", "tier": "admin"}, "tier"),
    ],
)
async def test_bad_input_names_its_field(auth: Auth, body: dict[str, Any], field: str) -> None:
    token = (await auth.register())["access_token"]
    answer = await auth.post("api-keys", body, token=token)
    assert await error_of(answer) == (422, "VALIDATION_ERROR")
    assert list(await details_of(answer)) == [field]
    assert await listed(auth, token) == []


async def test_a_key_is_shown_once_and_kept_as_a_hash(auth: Auth) -> None:
    token = (await auth.register())["access_token"]
    made = await make(auth, token, name="nightly")
    assert is_api_key(made["key"])
    [shown] = await listed(auth, token)
    assert "key" not in shown
    assert (shown["name"], shown["last_four"]) == ("nightly", made["key"][-4:])
    [row] = await auth.sql("SELECT * FROM api_keys")
    assert made["key"] not in str(dict(row))


async def test_no_key_has_more_rights_than_its_owner(auth: Auth) -> None:
    token = (await auth.register())["access_token"]
    answer = await auth.post(
        "api-keys", {"name": "bot", "scopes": ["tasks:read", "users:write"]}, token=token
    )
    assert await error_of(answer) == (403, "FORBIDDEN")
    assert "users:write" in (await details_of(answer))["scopes"][0]


async def test_a_key_that_would_have_expired_is_not_made(auth: Auth) -> None:
    token = (await auth.register())["access_token"]
    body = {"name": "bot", "expires_at": "2020-01-01T00:00:00Z"}
    answer = await auth.post("api-keys", body, token=token)
    assert await error_of(answer) == (409, "CONFLICT")
    assert list(await details_of(answer)) == ["expires_at"]


async def test_the_number_of_keys_is_bounded_however_many_are_made_at_once(auth: Auth) -> None:
    grant = await auth.register()
    await auth.sql(
        "INSERT INTO api_keys SELECT gen_random_uuid(), $1::text::uuid, 'k',"
        " sha256(n::text::bytea), 'abcd', '{}', now() FROM generate_series(1, 48) n",
        grant["user"]["id"],
    )
    answers = await asyncio.gather(
        *(auth.post("api-keys", {"name": "bot"}, token=grant["access_token"]) for _ in range(6))
    )
    assert sorted(answer.status for answer in answers) == [201, 201, 409, 409, 409, 409]


async def test_a_key_becomes_a_token_of_its_rights(auth: Auth) -> None:
    grant = await auth.register()
    made = await make(auth, grant["access_token"], scopes=["tasks:read"])
    answer = await exchange(auth, made["key"])
    assert answer.status == 200
    sold = await answer.json()
    claims = claims_of(sold["access_token"])
    assert sold["expires_in"] == claims["exp"] - claims["iat"] == 300
    assert (claims["sub"], claims["sid"]) == (grant["user"]["id"], made["id"])
    assert (claims["scope"], claims["tier"]) == ("tasks:read", "default")
    [shown] = await listed(auth, grant["access_token"])
    assert shown["last_used_at"] is not None


async def test_what_is_no_key_of_ours_is_not_exchanged(auth: Auth) -> None:
    for key in ("junk", new_api_key(), "x" * 128):
        assert await error_of(await exchange(auth, key)) == (404, "NOT_FOUND")


async def test_the_exchange_needs_a_service_token(auth: Auth) -> None:
    grant = await auth.register()
    made = await make(auth, grant["access_token"])
    for token in ("", grant["access_token"], made["key"]):
        answer = await auth.client.post(
            "/internal/exchange", json={"api_key": made["key"]}, headers={"X-Service-Token": token}
        )
        assert await error_of(answer) == (401, "UNAUTHORIZED")


async def test_a_key_reads_the_profile_and_does_nothing_that_needs_a_person(auth: Auth) -> None:
    grant = await auth.register()
    made = await make(auth, grant["access_token"])
    token = (await (await exchange(auth, made["key"])).json())["access_token"]
    assert (await auth.profile(token)).status == 200
    change = {"current_password": PASSWORD, "new_password": "eight-wise-herons-sing"}
    for answer in (
        await auth.post("api-keys", {"name": "more"}, token=token),
        await auth.post("logout", {"all": True}, token=token),
        await auth.post("password", change, token=token),
        await revoke(auth, token, made["id"]),
    ):
        assert await error_of(answer) == (403, "FORBIDDEN")
    limited = await make(auth, grant["access_token"], scopes=["tasks:read"])
    token = (await (await exchange(auth, limited["key"])).json())["access_token"]
    assert (await auth.profile(token)).status == 403


async def test_a_revoked_key_is_gone_and_published(auth: Auth) -> None:
    token = (await auth.register())["access_token"]
    made = await make(auth, token)
    key_token = (await (await exchange(auth, made["key"])).json())["access_token"]
    assert (await revoke(auth, token, made["id"])).status == 204
    assert (await exchange(auth, made["key"])).status == 404
    assert (await auth.profile(key_token)).status == 401
    assert await listed(auth, token) == []
    assert await error_of(await revoke(auth, token, made["id"])) == (404, "NOT_FOUND")
    [one] = (await auth.revocations())["revocations"]
    assert one["subject"] == made["id"]


async def test_nobody_touches_the_key_of_another(auth: Auth) -> None:
    made = await make(auth, (await auth.register())["access_token"])
    stranger = (await auth.register())["access_token"]
    assert (await revoke(auth, stranger, made["id"])).status == 404
    answer = await auth.post(f"api-keys/{made['id']}/rotate", token=stranger)
    assert answer.status == 404
    assert (await exchange(auth, made["key"])).status == 200


async def test_rotation_leaves_both_good_for_a_while(auth: Auth) -> None:
    token = (await auth.register())["access_token"]
    made = await make(auth, token, name="nightly", scopes=["tasks:read"])
    answer = await auth.post(f"api-keys/{made['id']}/rotate", token=token)
    assert answer.status == 201
    renewed = await answer.json()
    assert (renewed["name"], renewed["scopes"]) == ("nightly", ["tasks:read"])
    assert renewed["id"] != made["id"]
    for key in (made["key"], renewed["key"]):
        assert (await exchange(auth, key)).status == 200
    await auth.sql("UPDATE api_keys SET expires_at = now() WHERE id = $1::text::uuid", made["id"])
    assert (await exchange(auth, made["key"])).status == 404
    assert (await exchange(auth, renewed["key"])).status == 200


async def test_rotation_without_overlap_ends_the_old_key_at_once(auth: Auth) -> None:
    token = (await auth.register())["access_token"]
    made = await make(auth, token)
    body = {"overlap_seconds": 0}
    assert (await auth.post(f"api-keys/{made['id']}/rotate", body, token=token)).status == 201
    assert (await exchange(auth, made["key"])).status == 404
    assert [one["subject"] for one in (await auth.revocations())["revocations"]] == [made["id"]]


async def test_the_token_of_a_key_does_not_outlive_it(auth: Auth) -> None:
    grant = await auth.register()
    made = await make(auth, grant["access_token"])
    await auth.sql("UPDATE api_keys SET expires_at = now() + interval '1 minute'")
    sold = await (await exchange(auth, made["key"])).json()
    assert 1 <= sold["expires_in"] <= 60


async def test_the_key_of_a_disabled_account_is_no_good(auth: Auth) -> None:
    made = await make(auth, (await auth.register())["access_token"])
    await auth.sql("UPDATE users SET is_active = false")
    assert (await exchange(auth, made["key"])).status == 404
