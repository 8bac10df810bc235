"""One password tried on many accounts: held back by address and altogether."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from aiohttp import ClientResponse

from tests.service.auth.browsers import Browser
from tests.service.auth.conftest import PASSWORD, Auth, Start, error_of

ADA = "ada@example.com"
WRONG = "seven-lazy-badgers-sing"
HERE, THERE = "192.0.2.7", "198.51.100.9"


async def guess(
    auth: Auth, email: str, address: str = HERE, password: str = WRONG, path: str = "login"
) -> ClientResponse:
    return await auth.post(
        path, {"email": email, "password": password}, headers={"X-Client-Address": address}
    )


def nobody(number: int) -> str:
    return f"nobody{number}@example.com"


async def shown(answer: ClientResponse) -> tuple[int, Any, dict[str, str]]:
    """An answer without what names the request and the time."""
    body = await answer.json()
    body["error"].pop("request_id")
    headers = {k: v for k, v in answer.headers.items() if k not in ("Date", "X-Request-ID")}
    return answer.status, body, headers


@pytest.mark.parametrize("path", ["login", "session-login"])
async def test_too_many_accounts_from_one_address_are_answered_alike_known_or_not(
    start: Start, path: str
) -> None:
    auth = await start(spraying_accounts_per_address=3)
    await auth.register(ADA)
    for number in range(3):
        assert (await guess(auth, nobody(number), path=path)).status == 401
    before = auth.metric("hash_duration_seconds_count", operation="verify")
    seen = [
        await shown(await guess(auth, email, password=password, path=path))
        for email in (ADA, nobody(0), nobody(7))
        for password in (WRONG, PASSWORD)
    ]
    assert seen[0][0] == 429
    assert seen[0][1]["error"]["code"] == "RATE_LIMITED"
    for one in seen:
        assert 500 <= int(one[2].pop("Retry-After")) <= 600
        assert one == seen[0]
    assert auth.metric("hash_duration_seconds_count", operation="verify") == before
    assert auth.metric("auth_spraying_refused_total", scope="address") == 6
    assert auth.metric("auth_logins_total", outcome="limited") == 6
    assert (await guess(auth, ADA, THERE, PASSWORD)).status == 200


async def test_one_account_counts_once_however_often_it_is_failed_at(start: Start) -> None:
    auth = await start(spraying_accounts_per_address=3, lockout_failures=100)
    for _ in range(10):
        assert (await guess(auth, nobody(1))).status == 401
    assert (await guess(auth, nobody(2))).status == 401


async def test_a_v6_customer_is_one_address_and_a_mapped_v4_one_is_itself(start: Start) -> None:
    auth = await start(spraying_accounts_per_address=3)
    for number in range(3):
        assert (await guess(auth, nobody(number), f"2001:db8:0:1::{number}")).status == 401
    assert (await guess(auth, nobody(8), "2001:db8:0:1:ffff::1")).status == 429
    assert (await guess(auth, nobody(8), "2001:db8:0:2::1")).status == 401
    for number in range(3):
        assert (await guess(auth, nobody(number), "::ffff:203.0.113.7")).status == 401
    assert (await guess(auth, nobody(8), "203.0.113.7")).status == 429


async def test_many_addresses_together_leave_only_known_browsers_in(start: Start) -> None:
    auth = await start(spraying_accounts=3)
    await auth.register(ADA)
    browser = Browser(auth)
    assert (await browser.log_in(ADA)).status == 200
    for number in range(3):
        assert (await guess(auth, nobody(number), f"203.0.113.{number}")).status == 401
    for email, password in ((ADA, PASSWORD), (ADA, WRONG), (nobody(9), WRONG)):
        answer = await guess(auth, email, THERE, password)
        assert await error_of(answer) == (429, "RATE_LIMITED")
        assert int(answer.headers["Retry-After"]) > 0
    assert auth.metric("auth_spraying_refused_total", scope="everywhere") == 3
    assert (await browser.log_in(ADA)).status == 200


@pytest.mark.usefixtures("real_hashes")
async def test_of_many_at_once_no_more_than_the_budget_get_a_verdict(start: Start) -> None:
    auth = await start(spraying_accounts_per_address=5)
    answers = await asyncio.gather(*(guess(auth, nobody(number)) for number in range(40)))
    told = Counter(answer.status for answer in answers)
    # On a busy machine some wait too long for a connection: their 503 is no verdict.
    assert (told[401], told[429] + told[503]) == (5, 35), told
    # What is kept is bounded by the budget as well: one row for the address, one for all.
    assert len(await auth.sql("SELECT 1 FROM failed_entries")) == 10
    assert len(await auth.sql("SELECT 1 FROM failed_guesses")) == 5


async def test_a_thousand_accounts_trip_the_limit_for_all_by_default(auth: Auth) -> None:
    assert (await guess(auth, nobody(0))).status == 401
    # The rest are rows, as a thousand hashes would take half a minute.
    await auth.sql(
        "INSERT INTO failed_entries SELECT source, sha256(n::text::bytea), now() +"
        " interval '5 minutes' FROM failed_entries, generate_series(1, 998) n"
    )
    assert (await guess(auth, nobody(1), THERE)).status == 401
    assert (await guess(auth, nobody(2), THERE)).status == 429


async def test_replicas_count_spraying_together_and_it_is_forgotten(start: Start) -> None:
    one, other = (
        await start(spraying_accounts_per_address=2),
        await start(spraying_accounts_per_address=2),
    )
    assert (await guess(one, nobody(1))).status == 401
    assert (await guess(other, nobody(2))).status == 401
    assert (await guess(one, nobody(3))).status == 429
    assert (await guess(other, nobody(3))).status == 429
    await one.sql("UPDATE failed_entries SET expires_at = now() - interval '1 second'")
    assert (await guess(one, nobody(3))).status == 401


async def test_a_right_login_is_no_failure(start: Start) -> None:
    auth = await start(spraying_accounts_per_address=2)
    for number in range(4):
        await auth.register(nobody(number))
        assert (await guess(auth, nobody(number), password=PASSWORD)).status == 200
    assert await auth.sql("SELECT 1 FROM failed_entries") == []


async def test_the_table_tells_neither_addresses_of_people_nor_of_machines(auth: Auth) -> None:
    await guess(auth, nobody(1))
    rows = await auth.sql("SELECT failed_entries::text AS everything FROM failed_entries")
    assert len(rows) == 2
    for row in rows:
        assert HERE not in row["everything"]
        assert HERE.encode().hex() not in row["everything"]
        assert b"nobody".hex() not in row["everything"]
