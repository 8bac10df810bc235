"""Statements that are in everybody's way find their rows by an index, however many there are.

What the service really sends is recorded and explained again. TEST_ROWS sets the size of the large
tables: a million takes minutes to make.
"""

from __future__ import annotations

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
from services.auth.usecases.purge import BATCH, MOST_BATCHES, purge
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
    SELECT gen_random_uuid(), id, 'k', sha256(id::text::bytea), 'abcd', '{{}}', now(),
        now() + interval '1 day' FROM users;
    ANALYZE;
"""


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


async def everyday(auth: Auth) -> None:
    """Logins, refreshes, an exchange, and a purge with nothing to remove."""
    grant = await auth.register("grace@example.com")
    assert (await auth.log_in("grace@example.com")).status == 200
    login = {"email": "grace@example.com", "password": PASSWORD}
    assert (await auth.post("session-login", login)).status == 200
    assert (await auth.log_in("grace@example.com", "seven-lazy-badgers-sing")).status == 401
    assert (await auth.log_in("nobody@example.com", "seven-lazy-badgers-sing")).status == 401
    assert (await auth.refresh(grant["refresh_token"])).status == 200
    made = await auth.post("api-keys", {"name": "k"}, token=grant["access_token"])
    token = (await (await auth.service_token()).json())["access_token"]
    answer = await auth.client.post(
        "/internal/exchange",
        json={"api_key": (await made.json())["key"]},
        headers={"X-Service-Token": token},
    )
    assert answer.status == 200, await answer.text()
    assert (await auth.profile(grant["access_token"])).status == 200
    await auth.revocations(after=ROWS - 5)
    assert (await auth.post("logout", {"all": True}, token=grant["access_token"])).status == 204
    await purge(auth.client.app[STORE], utc_now(), revocations_kept=timedelta(hours=1))


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


async def test_no_statement_of_a_login_a_refresh_an_exchange_or_a_purge_reads_a_large_table(
    auth: Auth, sent: dict[str, tuple[Any, ...]]
) -> None:
    await filled(auth)
    await everyday(auth)
    plans = await explained(auth, sent)
    assert len(plans) > 20
    assert {query: found for query, plan in plans.items() if (found := reads_all_of(plan))} == {}
    tables = {node.get("Relation Name") for plan in plans.values() for node in plan}
    assert tables >= LARGE
    # The same when most of what is there has expired.
    sent.clear()
    later = utc_now() + timedelta(days=400)
    assert (
        await purge(auth.client.app[STORE], later, revocations_kept=timedelta(0))
        > BATCH * MOST_BATCHES
    )
    await auth.sql("ANALYZE")
    purges = {query: given for query, given in sent.copy().items() if " LIMIT " in query}
    assert len(purges) >= 4
    for query, plan in (await explained(auth, purges)).items():
        assert reads_all_of(plan) == set(), query
        # The batch comes in the order of an index: what has expired is not sorted.
        if "sessions" in query or "failed_" in query:
            assert all(node["Node Type"] != "Sort" for node in plan), query
