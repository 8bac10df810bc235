"""The feed of revocations: who may read it, what is in it, and how soon."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import jwt
import pytest

from tests.service.auth.conftest import PASSWORD, SERVICE_KEY, Auth, Start, error_of

OTHER_PASSWORD = "eight-wise-herons-sing"


def session_of(grant: dict[str, Any]) -> str:
    sid: str = jwt.decode(grant["access_token"], options={"verify_signature": False})["sid"]
    return sid


@pytest.mark.parametrize("key", ["", "wrong", SERVICE_KEY[:-1], SERVICE_KEY + "x", "\xe4"])
async def test_a_wrong_key_buys_nothing(auth: Auth, key: str) -> None:
    answer = await auth.service_token(key)
    assert await error_of(answer) == (401, "UNAUTHORIZED")
    assert "WWW-Authenticate" in answer.headers


async def test_without_a_key_in_the_settings_none_is_good(start: Start) -> None:
    auth = await start(service_credentials="")
    for key in ("", SERVICE_KEY):
        assert (await auth.service_token(key)).status == 401


async def test_two_keys_are_good_while_one_replaces_the_other(start: Start) -> None:
    auth = await start(service_credentials=f"{SERVICE_KEY}, {'n' * 32}")
    for key in (SERVICE_KEY, "n" * 32):
        assert (await auth.service_token(key)).status == 200


async def test_only_a_service_token_reads_the_feed(auth: Auth) -> None:
    grant = await auth.register()
    for token in (None, "", "junk", SERVICE_KEY, grant["access_token"], "x" * 5_000):
        headers = {} if token is None else {"X-Service-Token": token}
        answer = await auth.client.get("/internal/revocations", headers=headers)
        assert await error_of(answer) == (401, "UNAUTHORIZED")


async def test_a_service_token_is_no_access_token(auth: Auth) -> None:
    sold = await (await auth.service_token()).json()
    assert sold["expires_in"] == 300
    assert (await auth.profile(sold["access_token"])).status == 401


async def test_the_end_of_a_session_is_published_with_it(auth: Auth) -> None:
    grant = await auth.register()
    assert (await auth.revocations())["revocations"] == []
    assert (await auth.post("logout", token=grant["access_token"])).status == 204
    page = await auth.revocations()
    assert [(one["kind"], one["subject"]) for one in page["revocations"]] == [
        ("session", session_of(grant))
    ]
    assert (await auth.revocations(after=page["next"]))["revocations"] == []


async def test_a_logout_everywhere_makes_all_tokens_void(auth: Auth) -> None:
    grant = await auth.register("ada@example.com")
    await auth.log_in("ada@example.com")
    assert (await auth.post("logout", {"all": True}, token=grant["access_token"])).status == 204
    [one] = (await auth.revocations())["revocations"]
    assert (one["kind"], one["subject"], one["epoch"]) == ("user", grant["user"]["id"], 1)
    later = await (await auth.log_in("ada@example.com")).json()
    claims = jwt.decode(later["access_token"], options={"verify_signature": False})
    assert claims["epoch"] == 1


async def test_a_password_change_publishes_the_other_sessions(auth: Auth) -> None:
    grant = await auth.register("ada@example.com")
    others = [await (await auth.log_in("ada@example.com")).json() for _ in range(2)]
    change = {"current_password": PASSWORD, "new_password": OTHER_PASSWORD}
    assert (await auth.post("password", change, token=grant["access_token"])).status == 204
    published = {one["subject"] for one in (await auth.revocations())["revocations"]}
    assert published == {session_of(other) for other in others}


async def test_the_reuse_of_a_refresh_token_publishes_the_end_it_brings(auth: Auth) -> None:
    grant = await auth.register()
    second = await (await auth.refresh(grant["refresh_token"])).json()
    await auth.refresh(second["refresh_token"])
    assert (await auth.refresh(grant["refresh_token"])).status == 401
    [one] = (await auth.revocations())["revocations"]
    assert one["subject"] == session_of(grant)


async def test_who_waits_is_woken_by_another_replica(auth: Auth, start: Start) -> None:
    replica = await start()
    grant = await auth.register()
    waiting = asyncio.create_task(replica.revocations(wait=20))
    await asyncio.sleep(0.2)
    assert not waiting.done()
    await auth.post("logout", token=grant["access_token"])
    page = await asyncio.wait_for(waiting, 10)
    assert [one["subject"] for one in page["revocations"]] == [session_of(grant)]


async def test_who_waits_keeps_no_process_from_stopping(auth: Auth) -> None:
    waiting = asyncio.create_task(auth.revocations(wait=20))
    await asyncio.sleep(0.2)
    assert not waiting.done()
    assert auth.client.app is not None
    await auth.client.app.shutdown()
    assert (await asyncio.wait_for(waiting, 10))["revocations"] == []


async def test_a_reader_who_knows_too_much_begins_anew(auth: Auth) -> None:
    grant = await auth.register()
    await auth.post("logout", token=grant["access_token"])
    page = await auth.revocations(after=1_000, wait=20)
    assert page["reset"]
    assert page["next"] == 1
    assert len(page["revocations"]) == 1


async def test_numbers_come_in_the_order_of_the_commits(auth: Auth) -> None:
    """One that began earlier and commits later gets the later number: no reader passes it by."""
    grants = [await auth.register() for _ in range(2)]
    connection: Any = await asyncpg.connect(auth.database_url)
    try:
        transaction = connection.transaction()
        await transaction.start()
        # As a publisher that has its number and has not committed.
        await connection.execute("UPDATE revocation_head SET sequence = sequence + 1")
        logout = asyncio.create_task(auth.post("logout", token=grants[0]["access_token"]))
        await asyncio.sleep(0.2)
        assert (await auth.revocations())["revocations"] == []
        await transaction.commit()
        assert (await logout).status == 204
    finally:
        await connection.close()
    assert [one["sequence"] for one in (await auth.revocations())["revocations"]] == [2]


@pytest.mark.parametrize("query", ["after=-1", "after=x", "wait=21", "after=1&after=2", "more=1"])
async def test_a_question_that_makes_no_sense(auth: Auth, query: str) -> None:
    token = (await (await auth.service_token()).json())["access_token"]
    answer = await auth.client.get(
        f"/internal/revocations?{query}", headers={"X-Service-Token": token}
    )
    assert await error_of(answer) == (422, "VALIDATION_ERROR")
