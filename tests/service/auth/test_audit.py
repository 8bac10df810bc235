"""What the audit log tells, and whom."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from aiohttp import ClientResponse

from services.auth.audit.recording import LONGEST_TEXT, Sampled, clean
from shared.api_keys import new_api_key
from shared.clock import utc_now
from tests.service.auth.conftest import PASSWORD, Auth, Start, error_of, eventually
from tests.service.auth.test_administration import ask, someone

WRONG = "eight-wise-herons-sing"
FROM = {"User-Agent": "Firefox/1", "X-Client-Address": "203.0.113.7"}


async def audit(auth: Auth, token: str, query: str = "", path: str = "audit") -> list[Any]:
    answer = await read(auth, token, query, path)
    assert answer.status == 200, await answer.text()
    results: list[Any] = (await answer.json())["results"]
    return results


async def read(auth: Auth, token: str, query: str = "", path: str = "audit") -> ClientResponse:
    headers = {"Authorization": f"Bearer {token}"}
    return await auth.client.get(f"/v2/{path}{query}", headers=headers)


async def told(auth: Auth, user_id: str, token: str) -> list[tuple[str, str]]:
    """Event and outcome of all that was recorded about an account, the first first."""
    events = await audit(auth, token, "?page_size=100", f"users/{user_id}/audit")
    return [(one["event"], one["outcome"]) for one in reversed(events)]


async def exchange(auth: Auth, key: str) -> ClientResponse:
    service = (await (await auth.service_token()).json())["access_token"]
    return await auth.client.post(
        "/internal/exchange", json={"api_key": key}, headers={"X-Service-Token": service}
    )


async def test_an_owner_reads_what_happened_in_his_account(auth: Auth) -> None:
    grant = await auth.register("ada@example.com")
    token, me = grant["access_token"], grant["user"]["id"]
    await auth.log_in("ada@example.com", WRONG)
    second = await (await auth.log_in("ada@example.com")).json()
    key = await (await auth.post("api-keys", {"name": "a\tb"}, token=token)).json()
    for _ in range(2):
        assert (await exchange(auth, key["key"])).status == 200
    rotated = await (
        await auth.post(f"api-keys/{key['id']}/rotate", {"overlap_seconds": 0}, token=token)
    ).json()
    headers = {"Authorization": f"Bearer {token}"}
    await auth.client.delete(f"/v1/auth/api-keys/{rotated['id']}", headers=headers)
    [other] = [
        one
        for one in (await (await auth.client.get("/v1/auth/sessions", headers=headers)).json())[
            "sessions"
        ]
        if not one["current"]
    ]
    await auth.client.delete(f"/v1/auth/sessions/{other['id']}", headers=headers)
    await auth.refresh(second["refresh_token"])
    for current in (WRONG, PASSWORD):
        body = {"current_password": current, "new_password": "nine-calm-ravens-read"}
        await auth.post("password", body, token=token)
    assert await told(auth, me, token) == [
        ("registration", "success"),
        ("login", "failure"),
        ("login", "success"),
        ("api_key.made", "success"),
        ("api_key.first_used", "success"),
        ("api_key.rotated", "success"),
        ("api_key.revoked", "success"),
        ("session.ended", "success"),
        ("session.refresh_refused", "failure"),
        ("password.changed", "failure"),
        ("password.changed", "success"),
    ]
    await auth.post("register", {"name": "Eve", "email": "ada@example.com", "password": PASSWORD})
    assert (await told(auth, me, token))[-1] == ("registration", "failure")


async def test_each_event_says_who_when_from_where_and_in_which_request(auth: Auth) -> None:
    grant = await auth.register("ada@example.com")
    body = {"email": "ada@example.com", "password": PASSWORD}
    login = await auth.post("login", body, headers={**FROM, "X-Request-ID": "request-7"})
    assert login.status == 200
    me = grant["user"]["id"]
    [event] = await audit(auth, grant["access_token"], "?event=login", f"users/{me}/audit")
    assert (event["user_id"], event["actor_id"]) == (me, me)
    assert (event["address"], event["device"]) == ("203.0.113.7", "Firefox/1")
    assert (event["request_id"], event["outcome"]) == ("request-7", "success")
    assert list(event["details"]) == ["session_id"]


async def test_a_reused_refresh_token_a_logout_and_a_lock_are_told(auth: Auth) -> None:
    grant = await auth.register("ada@example.com")
    token, me = grant["access_token"], grant["user"]["id"]
    first = (await (await auth.log_in("ada@example.com")).json())["refresh_token"]
    for spent in (first, first):
        renewed = await (await auth.refresh(spent)).json()
    await auth.refresh(renewed["refresh_token"])
    assert (await auth.refresh(first)).status == 401
    for _ in range(6):
        await auth.log_in("ada@example.com", WRONG)
    last = await (await auth.log_in("ada@example.com")).json()
    assert last["error"]["code"] == "ACCOUNT_LOCKED"
    events = await audit(auth, token, "?page_size=100", f"users/{me}/audit")
    found = [(one["event"], one["details"].get("reason")) for one in reversed(events)][2:]
    assert found[0] == ("session.refresh_reused", "reused")
    assert found[1:5] == [("login", "wrong")] * 4
    # Rows of one moment have no order.
    assert set(found[5:7]) == {("login", "wrong"), ("login.locked", None)}
    assert found[7:] == [("login", "locked")] * 2
    await auth.post("logout", {"all": True}, token=token)
    [event] = await auth.sql("SELECT * FROM audit_events WHERE event = 'logout'")
    assert json.loads(event["details"])["everywhere"] is True


async def test_an_address_of_nobody_is_a_keyed_hash(auth: Auth) -> None:
    _, token = await someone(auth, "admin")
    for email in ("nobody@example.com", "nobody@example.com", "somebody@example.com"):
        await auth.log_in(email, WRONG)
    events = await audit(auth, token, "?event=login&outcome=failure")
    subjects = [one["subject"] for one in events]
    assert subjects[1] == subjects[2] != subjects[0]
    assert {one["user_id"] for one in events} == {None}
    [count] = await auth.sql("SELECT count(*) FROM audit_events a WHERE a::text ILIKE '%nobody@%'")
    assert count[0] == 0


async def test_no_secret_is_in_the_log(auth: Auth) -> None:
    grant = await auth.register("ada@example.com")
    token = grant["access_token"]
    made = await (await auth.post("api-keys", {"name": "x"}, token=token)).json()
    await exchange(auth, made["key"])
    await auth.log_in("ada@example.com", WRONG)
    unknown = new_api_key()
    await exchange(auth, unknown)
    body = {"current_password": PASSWORD, "new_password": "nine-calm-ravens-read"}
    await auth.post("password", body, token=token)
    text = str([dict(row) for row in await auth.sql("SELECT * FROM audit_events")])
    for secret in (
        *(PASSWORD, WRONG, "nine-calm-ravens-read", token, grant["refresh_token"]),
        *(made["key"], unknown, "ada@example.com"),
    ):
        assert secret not in text


async def test_every_change_by_an_administrator_is_told_with_who_made_it(auth: Auth) -> None:
    chief, token = await someone(auth, "admin")
    body = {"name": "Mo", "email": "mo@example.com", "password": PASSWORD, "role": "moderator"}
    made = (await (await ask(auth, "POST", "", token=token, body=body)).json())["id"]
    changes: Sequence[dict[str, Any]] = (
        {"role": "user", "tier": "premium", "name": "Max"},
        {"role": "user"},
        {"is_active": False},
        {"is_active": True, "locked": False},
    )
    for change in changes:
        answer = await ask(auth, "PATCH", f"/{made}", token=token, body=change)
        assert answer.status == 200
    assert (await ask(auth, "DELETE", f"/{made}", token=token)).status == 204
    events = await audit(auth, token, f"?user_id={made}&page_size=100")
    assert {one["actor_id"] for one in events} == {chief}
    assert sorted(one["event"] for one in events) == sorted(
        [
            *("user.created", "user.renamed", "user.role_changed", "user.tier_changed"),
            *("user.banned", "user.unlocked", "user.unbanned", "user.deleted"),
        ]
    )
    [role] = [one for one in events if one["event"] == "user.role_changed"]
    assert role["details"] == {"old": "moderator", "new": "user"}
    assert "Max" not in str(events)


async def test_strangers_and_moderators_read_nothing(auth: Auth) -> None:
    other, _ = await someone(auth)
    _, moderator = await someone(auth, "moderator")
    _, user = await someone(auth)
    _, admin = await someone(auth, "admin")
    nobody = "0199a6f0-c0de-7000-8000-00000000dead"
    for token in (user, moderator):
        for path in ("audit", f"users/{other}/audit", f"users/{nobody}/audit"):
            assert await error_of(await read(auth, token, path=path)) == (403, "FORBIDDEN")
    assert (await auth.client.get("/v1/audit")).status == 401
    assert await audit(auth, admin, path=f"users/{other}/audit")
    assert await audit(auth, admin, path=f"users/{nobody}/audit") == []


async def test_pages_and_filters(auth: Auth) -> None:
    _, token = await someone(auth, "admin")
    for _ in range(4):
        await auth.register()
    first = await (await read(auth, token, "?event=registration&page_size=3")).json()
    assert (first["count"], len(first["results"]), first["previous"]) == (5, 3, None)
    assert first["next"] == "/api/v2/audit?event=registration&page_size=3&page=2"
    second = await (await read(auth, token, first["next"].removeprefix("/api/v2/audit"))).json()
    ids = [one["id"] for one in first["results"] + second["results"]]
    assert ids == sorted(ids, reverse=True)
    assert (len(set(ids)), second["next"]) == (5, None)
    middle = first["results"][1]["at"]
    later = await audit(auth, token, f"?event=registration&since={middle}")
    earlier = await audit(auth, token, f"?event=registration&until={middle}")
    assert [one["id"] for one in later + earlier] == ids
    for query in (
        *("?page=0", "?page_size=101", "?event=nothing", "?outcome=perhaps", "?since=yesterday"),
        *("?page=10001", "?user_id=me", "?details=x"),
    ):
        assert await error_of(await read(auth, token, query)) == (422, "VALIDATION_ERROR")


async def test_when_it_cannot_be_recorded_nothing_happens(auth: Auth) -> None:
    _, token = await someone(auth, "admin")
    grant = await auth.register("ada@example.com")
    user_id = grant["user"]["id"]
    await auth.sql("ALTER TABLE audit_events RENAME TO audit_events_away")
    answer = await ask(auth, "PATCH", f"/{user_id}", token=token, body={"is_active": False})
    assert answer.status >= 500
    for password in (PASSWORD, WRONG):
        assert (await auth.log_in("ada@example.com", password)).status >= 500
    await auth.sql("ALTER TABLE audit_events_away RENAME TO audit_events")
    assert await auth.sql("SELECT 1 FROM users WHERE NOT is_active") == []
    assert await auth.sql("SELECT 1 FROM failed_guesses") == []
    [sessions] = await auth.sql("SELECT count(*) FROM sessions WHERE device <> 'x'")
    assert (await auth.profile(grant["access_token"])).status == 200
    assert sessions[0] == 3


async def test_refused_keys_are_one_event_with_their_number(auth: Auth) -> None:
    for _ in range(5):
        assert (await exchange(auth, new_api_key())).status == 404
    rows = await auth.sql("SELECT details FROM audit_events WHERE event = 'api_key.refused'")
    assert 1 <= len(rows) < 5
    assert json.loads(rows[0]["details"]) == {"count": 1}
    sampled, now = Sampled(3600), utc_now()
    assert [sampled.take(now) for _ in range(3)] == [1, None, None]


@pytest.mark.parametrize("text", ["a\nb", "a\r\nb", "a\u2028b", "a\x1b[2Jb", "a\x00b", "a\u202eb"])
def test_nothing_in_it_breaks_a_line_or_turns_it(text: str) -> None:
    assert clean(text).startswith("a")
    assert clean(text).isprintable()
    assert len(clean(text * 1000)) <= LONGEST_TEXT


async def test_an_administrator_unlocks_an_account(auth: Auth) -> None:
    _, token = await someone(auth, "admin")
    _, moderator = await someone(auth, "moderator")
    grant = await auth.register("ada@example.com")
    path = f"/{grant['user']['id']}"
    for _ in range(5):
        await auth.log_in("ada@example.com", WRONG)
    body = {"current_password": WRONG, "new_password": "nine-calm-ravens-read"}
    for _ in range(5):
        await auth.post("password", body, token=grant["access_token"])
    assert (await auth.log_in("ada@example.com")).status == 423
    refused = await ask(auth, "PATCH", path, token=moderator, body={"locked": False})
    assert await error_of(refused) == (403, "FORBIDDEN")
    refused = await ask(auth, "PATCH", path, token=token, body={"locked": True})
    assert await error_of(refused) == (422, "VALIDATION_ERROR")
    assert (await auth.log_in("ada@example.com")).status == 423
    answer = await ask(auth, "PATCH", path, token=token, body={"locked": False})
    assert answer.status == 200
    assert (await auth.log_in("ada@example.com")).status == 200
    right = {**body, "current_password": PASSWORD}
    assert (await auth.post("password", right, token=grant["access_token"])).status == 204
    # The tokens stay good: nothing that they say has changed.
    assert (await auth.profile(grant["access_token"])).status == 200


async def test_the_service_links_and_counts_by_itself(start: Start) -> None:
    auth = await start()
    await auth.register()

    async def linked() -> bool:
        return await auth.sql("SELECT 1 FROM audit_events WHERE sequence IS NULL") == []

    await eventually(linked)
    assert auth.metric("auth_audit_chain_broken") == 0

    async def counted() -> bool:
        labels = {"event": "registration", "outcome": "success"}
        return auth.metric("auth_audit_events_total", **labels) == 1

    await eventually(counted)
