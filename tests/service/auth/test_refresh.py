import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from services.auth import handlers
from shared.clock import utc_now
from tests.service.auth.conftest import Auth, Start, details_of, error_of


async def next_of(auth: Auth, grant: dict[str, Any]) -> dict[str, Any]:
    answer = await auth.refresh(grant["refresh_token"])
    assert answer.status == 200, await answer.text()
    following: dict[str, Any] = await answer.json()
    return following


async def test_junk_is_refused_without_a_query(auth: Auth) -> None:
    for text in ["x", "tlr_", "tlr_" + "A" * 55, "eyJhbGciOiJub25lIn0.e30.", "' OR 1=1 --"]:
        answer = await auth.refresh(text)
        assert await error_of(answer) == (401, "UNAUTHORIZED")
        assert "WWW-Authenticate" in answer.headers


async def test_what_is_no_token_at_all_is_named(auth: Auth) -> None:
    for text in ["", "x" * 129, "tlr_\x00", 7, None, ["tlr_"]]:
        answer = await auth.post("refresh", {"refresh_token": text})
        assert await error_of(answer) == (422, "VALIDATION_ERROR")
        assert list(await details_of(answer)) == ["refresh_token"]


async def test_an_access_token_refreshes_nothing_and_a_refresh_token_opens_nothing(
    auth: Auth,
) -> None:
    grant = await auth.register()
    assert (await auth.refresh(grant["access_token"][:128])).status == 401
    assert (await auth.profile(grant["refresh_token"])).status == 401


async def test_a_token_of_another_deployment_is_refused(
    auth: Auth, start: Start, databases: Any
) -> None:
    elsewhere = await start(makes_its_key=True, database_url=databases.fresh("auth"))
    grant = await elsewhere.register()
    assert (await auth.refresh(grant["refresh_token"])).status == 401
    assert (await auth.profile(grant["access_token"])).status == 401


async def test_each_refresh_gives_the_next_pair(auth: Auth) -> None:
    first = await auth.register()
    second = await next_of(auth, first)
    third = await next_of(auth, second)
    assert len({grant["refresh_token"] for grant in (first, second, third)}) == 3
    assert third["session_expires_at"] == first["session_expires_at"]
    assert third["idle_expires_at"] > first["idle_expires_at"]
    assert third["user"] == first["user"]
    assert (await auth.profile(third["access_token"])).status == 200


async def test_a_retry_with_the_last_token_gets_the_current_pair(auth: Auth) -> None:
    first = await auth.register()
    second = await next_of(auth, first)
    for _ in range(3):
        assert (await next_of(auth, first))["refresh_token"] == second["refresh_token"]
    third = await next_of(auth, second)
    assert third["refresh_token"] != second["refresh_token"]


async def test_an_older_token_ends_the_session_for_everybody(auth: Auth) -> None:
    first = await auth.register()
    second = await next_of(auth, first)
    third = await next_of(auth, second)
    assert await error_of(await auth.refresh(first["refresh_token"])) == (401, "UNAUTHORIZED")
    assert (await auth.refresh(third["refresh_token"])).status == 401
    assert (await auth.refresh(second["refresh_token"])).status == 401
    assert (await auth.profile(third["access_token"])).status == 401
    [row] = await auth.sql("SELECT ended_because FROM sessions")
    assert row["ended_because"] == "refresh_reuse"
    assert auth.metric("auth_refreshes_total", outcome="reused") == 1


async def test_reuse_in_one_session_leaves_the_others(auth: Auth) -> None:
    first = await auth.register("ada@example.com")
    other = await (await auth.log_in("ada@example.com")).json()
    await next_of(auth, await next_of(auth, first))
    assert (await auth.refresh(first["refresh_token"])).status == 401
    await next_of(auth, other)


async def test_fifty_parallel_uses_of_one_token_are_one_step(start: Start) -> None:
    replicas = [await start(), await start()]
    grant = await replicas[0].register()
    answers = await asyncio.gather(
        *(replicas[number % 2].refresh(grant["refresh_token"]) for number in range(50))
    )
    assert Counter(answer.status for answer in answers) == {200: 50}
    tokens = {(await answer.json())["refresh_token"] for answer in answers}
    assert len(tokens) == 1
    [row] = await replicas[0].sql("SELECT refresh_counter FROM sessions")
    assert row["refresh_counter"] == 1


async def test_parallel_reuse_kills_once_and_for_all(auth: Auth) -> None:
    first = await auth.register()
    await next_of(auth, await next_of(auth, first))
    answers = await asyncio.gather(*(auth.refresh(first["refresh_token"]) for _ in range(20)))
    assert {answer.status for answer in answers} == {401}
    assert auth.metric("auth_refreshes_total", outcome="reused") == 1


@pytest.mark.parametrize("column", ["idle_expires_at", "expires_at"])
async def test_a_session_past_either_end_gives_nothing(auth: Auth, column: str) -> None:
    grant = await auth.register()
    await auth.sql(f"UPDATE sessions SET {column} = now() - interval '1 second'")
    assert (await auth.refresh(grant["refresh_token"])).status == 401


async def test_use_moves_the_idle_end_but_never_past_the_absolute_one(auth: Auth) -> None:
    grant = await auth.register()
    await auth.sql("UPDATE sessions SET expires_at = now() + interval '10 minutes'")
    following = await next_of(auth, grant)
    assert following["idle_expires_at"] == following["session_expires_at"]
    # Nor does an access token outlive it.
    assert 590 <= following["expires_in"] <= 600


async def test_a_banned_user_gets_no_further_token(auth: Auth) -> None:
    grant = await auth.register()
    await auth.sql("UPDATE users SET is_active = false")
    assert (await auth.refresh(grant["refresh_token"])).status == 401
    await auth.sql("UPDATE users SET is_active = true")
    assert (await auth.refresh(grant["refresh_token"])).status == 401


async def test_a_deleted_user_gets_no_further_token(auth: Auth) -> None:
    grant = await auth.register()
    await auth.sql("DELETE FROM users")
    assert (await auth.refresh(grant["refresh_token"])).status == 401


async def test_a_role_given_meanwhile_is_in_the_next_token(auth: Auth) -> None:
    grant = await auth.register()
    await auth.sql("UPDATE users SET role = 'moderator', tier = 'premium'")
    following = await next_of(auth, grant)
    assert (following["user"]["role"], following["user"]["tier"]) == ("moderator", "premium")


async def test_replicas_whose_clocks_differ_end_no_session_and_lift_no_lock(
    auth: Auth, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten minutes ahead, ten minutes behind, and right again: a request at each."""

    def clock(minutes: int) -> None:
        monkeypatch.setattr(handlers, "utc_now", lambda: utc_now() + timedelta(minutes=minutes))

    clock(10)
    token = (await auth.register("ada@example.com"))["refresh_token"]
    for _ in range(6):
        await auth.log_in("nobody@example.com", "seven-lazy-badgers-sing")
    for minutes in (-10, 10, -10, 0):
        clock(minutes)
        answer = await auth.refresh(token)
        assert answer.status == 200
        token = (await answer.json())["refresh_token"]
        locked = await auth.log_in("nobody@example.com", "seven-lazy-badgers-sing")
        assert locked.status == 423
    [row] = await auth.sql(
        "SELECT ended_at, idle_expires_at <= expires_at AS ordered FROM sessions"
    )
    assert (row["ended_at"], row["ordered"]) == (None, True)
