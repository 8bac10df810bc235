import asyncio
from collections import Counter

import pytest

from tests.service.auth.conftest import PASSWORD, Auth, Start, error_of

ADA, NOBODY = "ada@example.com", "nobody@example.com"
WRONG = "seven-lazy-badgers-sing"


@pytest.mark.parametrize("email", [ADA, NOBODY])
async def test_after_five_failures_in_a_row_the_address_is_locked_known_or_not(
    auth: Auth, email: str
) -> None:
    await auth.register(ADA)
    for _ in range(5):
        assert await error_of(await auth.log_in(email, WRONG)) == (401, "UNAUTHORIZED")
    answer = await auth.log_in(email, WRONG)
    assert await error_of(answer) == (423, "ACCOUNT_LOCKED")
    assert 890 <= int(answer.headers["Retry-After"]) <= 900


async def test_while_locked_the_right_password_gets_the_same_answer_without_a_hash(
    auth: Auth,
) -> None:
    await auth.register(ADA)
    for _ in range(5):
        await auth.log_in(ADA, WRONG)
    before = auth.metric("hash_duration_seconds_count", operation="verify")
    bodies = []
    for password in (WRONG, PASSWORD):
        answer = await auth.log_in(ADA, password)
        assert answer.status == 423
        bodies.append((await answer.json())["error"] | {"request_id": ""})
    assert bodies[0] == bodies[1]
    assert auth.metric("hash_duration_seconds_count", operation="verify") == before


@pytest.mark.usefixtures("real_hashes")
async def test_a_hundred_parallel_guesses_get_five_verdicts(start: Start) -> None:
    auth = await start()
    await auth.register(ADA)
    answers = await asyncio.gather(*(auth.log_in(ADA, WRONG) for _ in range(100)))
    told = Counter(answer.status for answer in answers)
    # On a busy machine some wait too long for a connection: their 503 is no verdict.
    assert (told[401], told[423] + told[503]) == (5, 95), told
    [row] = await auth.sql("SELECT failures FROM failed_guesses")
    assert row["failures"] == 5


@pytest.mark.usefixtures("real_hashes")
async def test_a_right_guess_among_many_is_not_told_once_the_address_is_locked(
    start: Start,
) -> None:
    auth = await start(hash_workers=1)
    await auth.register(ADA)
    guesses = [auth.log_in(ADA, WRONG) for _ in range(30)]
    tasks = [asyncio.create_task(guess) for guess in guesses]
    # One thread takes them in order, so this one is checked after all of the wrong ones, although
    # nothing was locked when it came.
    await asyncio.sleep(0)
    right = await auth.log_in(ADA)
    await asyncio.gather(*tasks)
    assert right.status == 423
    assert len(await auth.sql("SELECT 1 FROM sessions")) == 1


@pytest.mark.usefixtures("real_hashes")
async def test_many_right_logins_at_once_lock_nobody_out(start: Start) -> None:
    auth = await start()
    await auth.register(ADA)
    answers = await asyncio.gather(*(auth.log_in(ADA) for _ in range(30)))
    assert {answer.status for answer in answers} == {200}


async def test_replicas_count_together(start: Start) -> None:
    one, other = await start(), await start()
    for number in range(5):
        assert (await (one, other)[number % 2].log_in(NOBODY, WRONG)).status == 401
    assert (await one.log_in(NOBODY, WRONG)).status == 423
    assert (await other.log_in(NOBODY, WRONG)).status == 423


async def test_no_other_spelling_gets_around_the_lock(auth: Auth) -> None:
    for email in (NOBODY, "NOBODY@example.com", "nobody@EXAMPLE.com", NOBODY, "Nobody@Example.Com"):
        assert (await auth.log_in(email, WRONG)).status == 401
    assert (await auth.log_in("nObOdY@example.com", WRONG)).status == 423
    answer = await auth.client.post(
        "/v2/auth/login",
        json={"email": NOBODY, "password": WRONG},
        headers={"X-Forwarded-For": "203.0.113.7"},
    )
    assert answer.status == 423
    # Nor the other way to log in, and what looks like the address is no address.
    for version in ("v1", "v2"):
        other = {"email": NOBODY, "password": WRONG}
        answer = await auth.client.post(f"/{version}/auth/session-login", json=other)
        assert answer.status == 423
    for email in (f"{NOBODY} ", f" {NOBODY}", "ｎobody@example.com", "nobody@example.com\u200b"):
        assert (await auth.log_in(email, WRONG)).status in (422, 423)


async def test_neither_a_refresh_nor_another_session_forgets_failures(auth: Auth) -> None:
    grant = await auth.register(ADA)
    for _ in range(4):
        assert (await auth.log_in(ADA, WRONG)).status == 401
    assert (await auth.refresh(grant["refresh_token"])).status == 200
    assert (await auth.profile(grant["access_token"])).status == 200
    assert (await auth.log_in(ADA, WRONG)).status == 401
    assert (await auth.log_in(ADA)).status == 423


async def test_a_login_forgets_the_failures_before_it(auth: Auth) -> None:
    grant = await auth.register(ADA)
    for _ in range(3):
        for _ in range(4):
            assert (await auth.log_in(ADA, WRONG)).status == 401
        assert (await auth.log_in(ADA)).status == 200
    assert await auth.sql("SELECT 1 FROM failed_guesses") == []
    # Neither a refresh nor a request with a token is a login.
    for _ in range(4):
        await auth.log_in(ADA, WRONG)
    await auth.refresh(grant["refresh_token"])
    await auth.profile(grant["access_token"])
    await auth.log_in(ADA, WRONG)
    assert (await auth.log_in(ADA)).status == 423


async def test_a_lock_ends_by_itself_and_the_next_is_twice_as_long(auth: Auth) -> None:
    await auth.register(ADA)
    for _ in range(5):
        await auth.log_in(ADA, WRONG)
    await auth.sql("UPDATE failed_guesses SET locked_until = now() - interval '1 second'")
    for _ in range(5):
        assert (await auth.log_in(ADA, WRONG)).status == 401
    answer = await auth.log_in(ADA)
    assert answer.status == 423
    assert 1790 <= int(answer.headers["Retry-After"]) <= 1800
    await auth.sql("UPDATE failed_guesses SET locked_until = now() - interval '1 second'")
    assert (await auth.log_in(ADA)).status == 200
    assert await auth.sql("SELECT 1 FROM failed_guesses") == []


async def test_failures_of_long_ago_are_forgotten(auth: Auth) -> None:
    for _ in range(4):
        await auth.log_in(NOBODY, WRONG)
    await auth.sql("UPDATE failed_guesses SET expires_at = now() - interval '1 second'")
    for _ in range(5):
        assert (await auth.log_in(NOBODY, WRONG)).status == 401
    assert (await auth.log_in(NOBODY, WRONG)).status == 423


async def test_one_address_locked_leaves_the_others_alone(auth: Auth) -> None:
    await auth.register(ADA)
    for _ in range(6):
        await auth.log_in(NOBODY, WRONG)
    assert (await auth.log_in(ADA)).status == 200


async def test_the_table_of_failures_tells_no_address(auth: Auth) -> None:
    await auth.log_in(NOBODY, WRONG)
    [row] = await auth.sql("SELECT subject, failed_guesses::text AS everything FROM failed_guesses")
    assert "nobody" not in row["everything"]
    assert b"nobody" not in row["subject"]
    assert len(row["subject"]) == 32
