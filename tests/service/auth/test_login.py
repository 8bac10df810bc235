import asyncio
import threading
from collections import Counter
from functools import partial

import asyncpg
import bcrypt
import pytest
from argon2 import PasswordHasher

from services.auth.handlers import PASSWORDS
from tests.service.auth.conftest import PASSWORD, Auth, Start, details_of, error_of, eventually

WRONG = "seven-lazy-badgers-sing"


async def test_what_is_wrong_is_named_and_costs_no_hash(auth: Auth) -> None:
    for body, field in [
        ({"password": PASSWORD}, "email"),
        ({"email": "ada@example.com"}, "password"),
        ({"email": "ada", "password": PASSWORD}, "email"),
        ({"email": {"$ne": ""}, "password": PASSWORD}, "email"),
        ({"email": "ada@example.com", "password": ""}, "password"),
        ({"email": "ada@example.com", "password": "x" * 129}, "password"),
        ({"email": "ada@example.com", "password": "x" * 900_000}, "password"),
        ({"email": "ada@example.com", "password": "otters\x00"}, "password"),
        ({"email": "ada@example.com", "password": {"$gt": ""}}, "password"),
        ({"email": "ada@example.com", "password": PASSWORD, "otp": 123456}, "otp"),
        ({"email": "ada@example.com", "password": PASSWORD, "remember": True}, "remember"),
    ]:
        answer = await auth.post("login", body)
        assert await error_of(answer) == (422, "VALIDATION_ERROR")
        assert list(await details_of(answer)) == [field]
        assert auth.metric("hash_duration_seconds_count", operation="verify") == 0


async def test_unknown_and_wrong_are_the_same_answer_for_the_same_work(auth: Auth) -> None:
    await auth.register("ada@example.com")
    seen = []
    for email in ("ada@example.com", "nobody@example.com"):
        before = auth.metric("hash_duration_seconds_count", operation="verify")
        answer = await auth.log_in(email, WRONG)
        body = await answer.json()
        body["error"].pop("request_id")
        headers = {k: v for k, v in answer.headers.items() if k not in ("Date", "X-Request-ID")}
        work = auth.metric("hash_duration_seconds_count", operation="verify") - before
        seen.append((answer.status, body, headers, work))
    assert seen[0] == seen[1]
    assert (seen[0][0], seen[0][3]) == (401, 1)
    assert "WWW-Authenticate" in seen[0][2]


async def test_a_banned_account_is_like_any_other_to_who_does_not_know_its_password(
    auth: Auth,
) -> None:
    await auth.register("ada@example.com")
    await auth.sql("UPDATE users SET is_active = false")
    assert await error_of(await auth.log_in("ada@example.com", WRONG)) == (401, "UNAUTHORIZED")
    assert await error_of(await auth.log_in("ada@example.com")) == (403, "FORBIDDEN")
    assert len(await auth.sql("SELECT 1 FROM sessions")) == 1
    assert auth.metric("auth_logins_total", outcome="disabled") == 1


async def test_the_right_password_opens_a_session_of_its_own(auth: Auth) -> None:
    first = await auth.register("ada@example.com")
    answer = await auth.log_in("ADA@example.com")
    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "no-store"
    grant = await answer.json()
    assert grant["user"] == first["user"]
    assert grant["refresh_token"] != first["refresh_token"]
    assert len(await auth.sql("SELECT 1 FROM sessions")) == 2


async def test_a_second_factor_is_not_looked_at_while_there_is_none(auth: Auth) -> None:
    await auth.register("ada@example.com")
    answer = await auth.post(
        "login", {"email": "ada@example.com", "password": PASSWORD, "otp": "123456"}
    )
    assert answer.status == 200


async def test_passwords_are_taken_as_they_are_but_for_how_accents_are_composed(auth: Auth) -> None:
    await auth.register("ada@example.com", password="  Café-au-lait  ")
    assert (await auth.log_in("ada@example.com", "  Cafe\u0301-au-lait  ")).status == 200
    assert (await auth.log_in("ada@example.com", "Café-au-lait")).status == 401
    assert (await auth.log_in("ada@example.com", "  café-au-lait  ")).status == 401


@pytest.mark.usefixtures("real_hashes")
@pytest.mark.parametrize(
    "old",
    [
        PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(PASSWORD),
        bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode(),
    ],
    ids=["older parameters", "bcrypt"],
)
async def test_a_hash_of_another_kind_is_renewed_by_a_login(auth: Auth, old: str) -> None:
    await auth.register("ada@example.com")
    await auth.sql("UPDATE users SET password_hash = $1", old)
    assert (await auth.log_in("ada@example.com", WRONG)).status == 401
    [row] = await auth.sql("SELECT password_hash FROM users")
    assert row["password_hash"] == old
    assert (await auth.log_in("ada@example.com")).status == 200
    [row] = await auth.sql("SELECT password_hash FROM users")
    assert row["password_hash"].startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert (await auth.log_in("ada@example.com")).status == 200


async def test_a_stored_hash_that_asks_for_gigabytes_lets_nobody_in(auth: Auth) -> None:
    await auth.register("ada@example.com")
    await auth.sql(
        "UPDATE users SET password_hash ="
        " '$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$AAAAAAAAAAAAAAAAAAAAAA'"
    )
    assert (await auth.log_in("ada@example.com")).status == 401


@pytest.mark.usefixtures("real_hashes")
async def test_more_logins_than_can_wait_are_shed_with_a_time_to_come_back(start: Start) -> None:
    auth = await start(hash_workers=1, hash_queue=3)
    await auth.register("ada@example.com")
    answers = await asyncio.gather(*(auth.log_in("ada@example.com") for _ in range(40)))
    statuses = Counter(answer.status for answer in answers)
    assert set(statuses) == {200, 503}
    assert statuses[200] >= 4
    assert auth.metric("hash_shed_total") == statuses[503]
    for answer in answers:
        if answer.status == 503:
            assert (await answer.json())["error"]["code"] == "SERVICE_UNAVAILABLE"
            assert int(answer.headers["Retry-After"]) >= 1
    # None of those that were turned away counts as a wrong guess.
    assert await auth.sql("SELECT 1 FROM failed_guesses") == []


async def test_logins_are_served_as_they_come_and_the_newest_is_turned_away(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while the database keeps all of them waiting, before any has asked for a thread."""
    auth = await start(hash_workers=1, hash_queue=4, database_pool=8)
    people = [f"person{number}@example.com" for number in range(5)]
    for email in people:
        await auth.register(email)
    passwords, release, served = auth.client.app[PASSWORDS], threading.Event(), list[str]()
    governor, matches = passwords._governor, passwords._matches

    def noted(stored: str, mixed: bytes) -> bool:
        served.append(stored)
        return matches(stored, mixed)

    monkeypatch.setattr(passwords, "_matches", noted)
    holding = asyncio.create_task(governor.run("hash", release.wait))
    connection = await asyncpg.connect(auth.database_url)
    logins = []
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE users, failed_entries IN ACCESS EXCLUSIVE MODE")
            for place, email in enumerate(people, start=1):
                logins.append(asyncio.create_task(auth.log_in(email)))
                if place < len(people):
                    await eventually(partial(waiting, auth, place))
            # The last has an answer, while the others still wait for the database.
            assert await error_of(await logins.pop()) == (503, "SERVICE_UNAVAILABLE")
            assert not any(login.done() for login in logins)
    finally:
        await connection.close()

    async def ready() -> bool:
        return len(governor._ready) == 4

    try:
        await eventually(ready)
    finally:
        release.set()
    await holding
    assert [(await login).status for login in logins] == [200] * 4
    rows = await auth.sql("SELECT email, password_hash FROM users")
    owners = {row["password_hash"]: row["email"] for row in rows}
    assert [owners[stored] for stored in served] == people[:4]


async def waiting(auth: Auth, number: int) -> bool:
    return auth.metric("hash_queue_depth") == number


async def test_while_logins_wait_for_a_thread_the_loop_serves_everybody_else(start: Start) -> None:
    auth = await start(hash_workers=1, hash_queue=5)
    token = (await auth.register("ada@example.com"))["access_token"]
    governor, release = auth.client.app[PASSWORDS]._governor, threading.Event()
    holding = asyncio.create_task(governor.run("hash", release.wait))
    logins = [asyncio.create_task(auth.log_in("ada@example.com")) for _ in range(30)]

    async def shed() -> bool:
        return auth.metric("hash_shed_total") == 25

    await eventually(shed)
    # The only thread that hashes stands still, and five logins wait for it.
    assert auth.metric("hash_queue_depth") == 5
    for _ in range(20):
        assert (await auth.profile(token)).status == 200
        assert (await auth.client.get("/.well-known/jwks.json")).status == 200
    assert sum(task.done() for task in logins) == 25
    release.set()
    await holding
    statuses = Counter([(await task).status for task in logins])
    assert statuses == {503: 25, 200: 5}


async def test_logins_are_counted_by_outcome(auth: Auth) -> None:
    await auth.register("ada@example.com")
    await auth.log_in("ada@example.com")
    for _ in range(6):
        await auth.log_in("ada@example.com", WRONG)
    seen = {
        outcome: auth.metric("auth_logins_total", outcome=outcome)
        for outcome in ("success", "wrong", "locked")
    }
    assert seen == {"success": 1, "wrong": 5, "locked": 1}
    assert auth.metric("auth_lockouts_total") == 1
