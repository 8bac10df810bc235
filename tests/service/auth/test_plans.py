"""Statements that are in everybody's way find their rows by an index, however many there are.

What the service really sends is recorded and explained again. What only asks whether something is
there, or how many, is answered by an index alone; what reads a row reads one, and says here why.
TEST_ROWS sets the size of the large tables: a million takes minutes to make.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from services.auth.handlers import STORE
from services.auth.repository import AuthRepository
from services.auth.usecases.purge import PORTION
from shared.clock import utc_now
from tests.service.auth.conftest import PASSWORD, Auth

ROWS = int(os.environ.get("TEST_ROWS", "50000"))
PEOPLE = ROWS // 10
LARGE = {"users", "sessions", "failed_guesses", "failed_entries", "revocations", "api_keys"}
FILL = """
    INSERT INTO users (id, name, email, password_hash, password_changed_at, role, tier,
        created_at, updated_at)
    SELECT gen_random_uuid(), 'Ada', 'ada' || n || '@example.com', 'x', now(), 'user', 'default',
        now(), now() FROM generate_series(1, {people}) n;
    INSERT INTO sessions (id, user_id, created_at, used_at, idle_expires_at, expires_at)
    SELECT gen_random_uuid(), id, now(), now(), now() + n * interval '1 hour',
        now() + interval '30 days' FROM users, generate_series(1, {rows} / {people}) n;
    INSERT INTO failed_guesses SELECT sha256(n::text::bytea), 1, NULL,
        now() + n * interval '1 second' FROM generate_series(1, {rows}) n;
    INSERT INTO failed_entries SELECT sha256((n % 1000)::text::bytea), sha256(n::text::bytea),
        now() + n * interval '1 second' FROM generate_series(1, {rows}) n;
    INSERT INTO revocations SELECT n, 'session', gen_random_uuid(), NULL,
        now() + n * interval '1 second' FROM generate_series(1, {rows}) n;
    UPDATE revocation_head SET sequence = {rows};
    INSERT INTO api_keys (id, user_id, name, hash, last_four, scopes, created_at, expires_at)
    SELECT gen_random_uuid(), id, 'k', sha256((id || n::text)::bytea), 'abcd', '{{}}', now(),
        now() + interval '1 day' FROM users, generate_series(1, 3) n;
"""
# Parts of statements that read a row of a large table, and why an index would not do.
ONE_ROW = {
    "FROM users u WHERE u.email = $1": "the account with its hash",
    "FROM users u WHERE u.id = $1 FOR SHARE": "the account, kept as it is until a session is open",
    "FROM users u WHERE u.id = $1 FOR UPDATE": "locks the account while its keys are counted",
    "FROM sessions s JOIN users u ON u.id = s.user_id WHERE s.id = $1 AND": "the account",
    "FROM api_keys k JOIN users u ON u.id = k.user_id WHERE k.id = $1": "the account",
    "UPDATE users SET epoch": "writes the account",
    "FROM failed_guesses WHERE subject = $1 FOR UPDATE": "locks the counter",
    "DELETE FROM failed_guesses WHERE subject = $1": "removes the counter",
    "FOR UPDATE OF s": "locks the session, so that one of parallel uses of a token counts",
    "UPDATE sessions SET refresh_counter": "writes the session",
    "WHERE s.cookie_hash = $1": "the session with its ends and its account",
    "UPDATE sessions SET used_at": "writes the session",
    "FROM sessions WHERE id = $1 AND cookie_hash": "the session with its ends",
    "UPDATE sessions SET ended_at = $2, ended_because = $3 WHERE id = $1": "writes the session",
    "FROM api_keys k WHERE k.hash = $1": "the key with its scopes",
    "UPDATE api_keys SET last_used_at": "writes the key",
}
# A page that rows were taken from again may stay unseen; the planner goes by the share.
UNSEEN = """
    SELECT relname, relpages, relallvisible FROM pg_class
    WHERE relname = ANY($1) AND relallvisible < 0.9 * relpages
"""
# Those that read several: all sessions of one account, and what a gateway has not seen of the feed.
SEVERAL = (
    "WHERE user_id = $1 AND ended_at IS NULL AND id IS DISTINCT FROM $4",
    "FROM revocations WHERE sequence > $1",
)


@dataclass
class Recording:
    """A connection that keeps what is sent through it."""

    connection: Any
    sent: dict[str, tuple[Any, ...]] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.connection, name)
        if name not in {"fetch", "fetchrow", "fetchval", "execute"}:
            return method

        async def recorded(query: str, *arguments: Any) -> Any:
            self.sent[query] = arguments
            return await method(query, *arguments)

        return recorded


async def filled(auth: Auth) -> None:
    connection = await asyncpg.connect(auth.database_url)
    try:
        await connection.execute(FILL.format(rows=ROWS, people=PEOPLE))
        # An index answers alone for pages that VACUUM has seen, and it passes over those that
        # anybody at work may see otherwise.
        for _ in range(50):
            await connection.execute("VACUUM (ANALYZE)")
            unseen = await connection.fetch(UNSEEN, list(LARGE))
            if not unseen:
                return
            await asyncio.sleep(0.1)
        raise AssertionError(f"VACUUM never saw the pages of {unseen}")
    finally:
        await connection.close()


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


async def explained(auth: Auth, sent: dict[str, tuple[Any, ...]]) -> dict[str, list[Any]]:
    """The nodes of each statement's plan."""
    connection = await asyncpg.connect(auth.database_url)
    await connection.set_type_codec("json", schema="pg_catalog", encoder=str, decoder=json.loads)
    try:
        return {
            query: list(
                nodes(
                    (await connection.fetchval(f"EXPLAIN (FORMAT JSON) {query}", *given))[0]["Plan"]
                )
            )
            for query, given in list(sent.items())  # what runs by itself goes on being recorded
        }
    finally:
        await connection.close()


async def logins(auth: Auth) -> str:
    """Logins of every kind, right and wrong; the secret of a cookie."""
    assert (await auth.log_in("grace@example.com")).status == 200
    login = {"email": "grace@example.com", "password": PASSWORD}
    first = await auth.post("session-login", login)
    assert first.status == 200
    [cookie] = [value.value for name, value in first.cookies.items() if name.endswith("session")]
    assert (await auth.log_in("grace@example.com", "seven-lazy-badgers-sing")).status == 401
    assert (await auth.log_in("nobody@example.com", "seven-lazy-badgers-sing")).status == 401
    return cookie


async def exchange(auth: Auth, credential: dict[str, str]) -> str:
    """The token of a key or a cookie's secret."""
    token = (await (await auth.service_token()).json())["access_token"]
    answer = await auth.client.post(
        "/internal/exchange", json=credential, headers={"X-Service-Token": token}
    )
    assert answer.status == 200, await answer.text()
    return str((await answer.json())["access_token"])


async def everyday(auth: Auth, grant: dict[str, Any], cookie: str) -> None:
    """Refreshes, exchanges, a look at the feed, and logouts."""
    assert (await auth.refresh(grant["refresh_token"])).status == 200
    made = await auth.post("api-keys", {"name": "k"}, token=grant["access_token"])
    await exchange(auth, {"api_key": (await made.json())["key"]})
    browser = await exchange(auth, {"session": cookie})
    assert (await auth.post("session-logout", {}, token=browser)).status == 204
    assert (await auth.profile(grant["access_token"])).status == 200
    await auth.revocations(after=ROWS - 5)
    assert (await auth.post("logout", {"all": True}, token=grant["access_token"])).status == 204


@pytest.fixture
def sent(auth: Auth) -> dict[str, tuple[Any, ...]]:
    """The statements of the service from here on."""
    found: dict[str, tuple[Any, ...]] = {}
    store = auth.client.app[STORE]
    store._repository = lambda connection: AuthRepository(Recording(connection, found))
    return found


def reads_all_of(plan: list[dict[str, Any]]) -> set[str]:
    """The large tables that a plan reads from the first row to the last."""
    return LARGE & {node["Relation Name"] for node in plan if node["Node Type"] == "Seq Scan"}


def rows_read(plan: list[dict[str, Any]]) -> list[tuple[str, str, int]]:
    """What a plan reads of large tables themselves: table, how, and how many rows."""
    return [
        (node["Relation Name"], node["Node Type"], node["Plan Rows"])
        for node in plan
        if node.get("Relation Name") in LARGE
        and node["Node Type"] not in {"Index Only Scan", "ModifyTable"}
    ]


async def test_a_login_and_what_follows_it_read_an_index_or_one_row(
    auth: Auth, sent: dict[str, tuple[Any, ...]]
) -> None:
    await filled(auth)
    grant = await auth.register("grace@example.com")
    sent.clear()
    cookie = await logins(auth)
    # However many sessions there are, a login reads none of them.
    assert [query for query in sent if "sessions" in query and "INSERT" not in query] == []
    await everyday(auth, grant, cookie)
    plans = await explained(auth, sent)
    assert len(plans) > 25
    tables = {node.get("Relation Name") for plan in plans.values() for node in plan}
    assert tables >= LARGE
    reasons = set()
    for query, plan in plans.items():
        found = rows_read(plan)
        if any(part in query for part in SEVERAL):
            assert all(rows < 1000 for _, _, rows in found), (query, found)
            assert reads_all_of(plan) == set(), query
        elif found:
            named = {part for part in ONE_ROW if part in query}
            assert named, (query, found)
            assert all((how, rows) == ("Index Scan", 1) for _, how, rows in found), (query, found)
            reasons |= named
    assert reasons == ONE_ROW.keys()
    only = {
        node["Index Name"]
        for plan in plans.values()
        for node in plan
        if node["Node Type"] == "Index Only Scan"
    }
    assert only >= {
        "sessions_pkey",
        "failed_guesses_pkey",
        "failed_entries_of_source",
        "api_keys_pkey",
        "api_keys_of_user",
    }


async def test_no_purge_reads_a_large_table(auth: Auth, sent: dict[str, tuple[Any, ...]]) -> None:
    await filled(auth)
    await auth.purge(utc_now())
    plans = await explained(auth, sent)
    assert {query: found for query, plan in plans.items() if (found := reads_all_of(plan))} == {}
    # The same when most of what is there has expired.
    sent.clear()
    assert await auth.purge(utc_now() + timedelta(days=400)) > PORTION
    await auth.sql("ANALYZE")
    purges = {query: given for query, given in sent.copy().items() if " LIMIT " in query}
    assert len(purges) >= 4
    for query, plan in (await explained(auth, purges)).items():
        assert reads_all_of(plan) == set(), query
        # The batch comes in the order of an index: what has expired is not sorted.
        if "sessions" in query or "failed_" in query:
            assert all(node["Node Type"] != "Sort" for node in plan), query
