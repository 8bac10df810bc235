"""The chain of the audit log: unbroken however it is written, and telling whoever touched it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import jwt
import pytest
from prometheus_client import CollectorRegistry

from services.auth.audit.anchor import Anchor
from services.auth.audit.chain import GENESIS, link_hash
from services.auth.audit.event import AuditEvent
from services.auth.audit.keeper import AuditKeeper
from services.auth.audit.recording import record
from services.auth.handlers import KEYS, STORE
from services.auth.repository import AuthStore
from services.auth.usecases.audit_chain import ChainBroken, link_some, seal
from services.auth.usecases.audit_retention import erase_origins, purge_audit
from services.auth.usecases.audit_verification import Report, verify_audit
from shared.clock import utc_now
from tests.service.auth.conftest import Auth, Start
from tests.service.auth.test_administration import ask, someone
from tests.tokens import private_key

YEAR = timedelta(days=365)
ROWS = 12
# One seal covers the first six rows, one the next three; three have none.
SEALED, LAST_SEALED = 6, 9


async def check(auth: Auth, *anchors: Anchor, kept: timedelta = YEAR) -> Report:
    return await verify_audit(auth.client.app[STORE], utc_now(), kept=kept, anchors=anchors)


async def write(auth: Auth, count: int, at: datetime | None = None) -> None:
    async with auth.client.app[STORE].begin() as repository:
        for number in range(count):
            await record(repository, AuditEvent.LOGIN, at or utc_now(), details={"number": number})


async def linked(auth: Auth) -> None:
    while await auth.sql("SELECT 1 FROM audit_events WHERE sequence IS NULL"):
        await link_some(auth.client.app[STORE])


async def sealed(auth: Auth, at: datetime | None = None) -> None:
    """Links and seals what there is."""
    await linked(auth)
    made = await seal(
        auth.client.app[STORE], auth.client.app[KEYS].signing, at or utc_now(), every=timedelta(0)
    )
    assert made is not None


@pytest.fixture
async def auth(start: Start, monkeypatch: pytest.MonkeyPatch) -> Auth:
    """Auth without its background job, so that each test links and seals when it wants."""

    async def rest(_self: AuditKeeper) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(AuditKeeper, "keep", rest)
    return await start()


@pytest.fixture
async def chain(auth: Auth) -> Auth:
    """Auth with ROWS linked rows."""
    for count in (SEALED, LAST_SEALED - SEALED):
        await write(auth, count)
        await sealed(auth)
    await write(auth, ROWS - LAST_SEALED)
    await linked(auth)
    return auth


async def test_an_untouched_log_is_intact(chain: Auth) -> None:
    await write(chain, 2)
    report = await check(chain)
    assert report.problem is None
    assert (report.first, report.last, report.rows, report.waiting) == (1, ROWS, ROWS, 2)
    assert (report.seals, report.sealed_until) == (2, LAST_SEALED)


TABLES = ("audit_events", "audit_head", "audit_seals", "audit_seal_keys")
# What somebody with access to the tables might do to rows 1 to 12, and what the check says.
TOUCHED = {
    "UPDATE audit_events SET outcome = 'failure' WHERE sequence = 4": "Row 4 ",
    "UPDATE audit_events SET user_id = id WHERE sequence = 4": "Row 4 ",
    "UPDATE audit_events SET at = at + interval '1 us' WHERE sequence = 4": "Row 4 ",
    "UPDATE audit_events SET details = '{}' WHERE sequence = 12": "Row 12 ",
    "UPDATE audit_events SET address = '192.0.2.1' WHERE sequence = 4": "row 4 was changed",
    """UPDATE audit_events SET address = NULL, device = NULL, origin_salt = NULL
        WHERE sequence = 4""": "row 4 were taken away",
    "DELETE FROM audit_events WHERE sequence = 1": "Row 1 is missing",
    "DELETE FROM audit_events WHERE sequence BETWEEN 4 AND 7": "Rows 4 to 7 are missing",
    "DELETE FROM audit_events WHERE sequence = 12": "Row 12 is missing",
    "DELETE FROM audit_events": "Row 1 is missing",
    "UPDATE audit_events SET sequence = NULL, hash = NULL WHERE sequence = 4": "Row 4 is missing",
    # Reordered: row 4 in the place of row 5, and the content of row 5 in that of row 4.
    """WITH gone AS (DELETE FROM audit_events WHERE sequence = 5 RETURNING 1)
        UPDATE audit_events SET sequence = 99 FROM gone
        WHERE sequence = 4""": "Rows 4 to 5 are missing",
    """UPDATE audit_events a SET (at, event, details) = (b.at, b.event, b.details)
        FROM audit_events b WHERE a.sequence = 4 AND b.sequence = 5""": "Row 4 ",
    """INSERT INTO audit_events SELECT gen_random_uuid(), at, event, outcome, actor_id, user_id,
        subject, address, device, origin_salt, origin_hash, request_id, details, 13, hash
        FROM audit_events WHERE sequence = 12""": "Row 13 ",
    """WITH head AS (UPDATE audit_head SET purged_until = 6)
        DELETE FROM audit_events WHERE sequence <= 6""": "365 days are to be kept",
    """WITH head AS (UPDATE audit_head SET purged_until = 5)
        DELETE FROM audit_events WHERE sequence <= 5""": "The seal of row 5",
    "UPDATE audit_seals SET token = token || 'x' WHERE sequence = 6": "The seal of row 6",
    """UPDATE audit_seals SET token = (SELECT token FROM audit_seals WHERE sequence = 9)
        WHERE sequence = 6""": "The seal of row 6",
    "DELETE FROM audit_seal_keys": "The seal of row 6",
}


async def test_whoever_touches_it_is_told_of(chain: Auth) -> None:
    for table in TABLES:
        await chain.sql(f"CREATE TABLE kept_{table} AS TABLE {table}")
    for change, names in TOUCHED.items():
        await chain.sql(change)
        assert names in ((await check(chain)).problem or "intact"), change
        for table in TABLES:
            await chain.sql(f"TRUNCATE {table}")
            await chain.sql(f"INSERT INTO {table} SELECT * FROM kept_{table}")
    assert (await check(chain)).problem is None


async def test_swapped_rows_are_told_of(chain: Auth) -> None:
    await chain.sql("UPDATE audit_events SET sequence = -sequence WHERE sequence IN (4, 5)")
    await chain.sql("UPDATE audit_events SET sequence = 9 + sequence WHERE sequence < 0")
    assert [
        row["sequence"]
        for row in await chain.sql("SELECT sequence FROM audit_events ORDER BY sequence")
    ] == list(range(1, ROWS + 1))
    problem = (await check(chain)).problem
    assert problem is not None
    assert "Row 4 " in problem


async def cut(auth: Auth, until: int) -> None:
    """Cuts the newest rows off, and makes the head agree."""
    await auth.sql("DELETE FROM audit_events WHERE sequence > $1", until)
    await auth.sql(
        "UPDATE audit_head SET sequence = $1,"
        " hash = (SELECT hash FROM audit_events WHERE sequence = $1)",
        until,
    )


async def test_a_tail_that_was_sealed_cannot_be_cut_off(chain: Auth) -> None:
    await cut(chain, LAST_SEALED - 1)
    problem = (await check(chain)).problem
    assert problem is not None
    assert f"row {LAST_SEALED} was sealed" in problem


async def test_a_tail_that_was_not_sealed_is_bounded_by_the_last_seal_and_by_anchors(
    chain: Auth,
) -> None:
    before = await check(chain)
    await cut(chain, LAST_SEALED)
    after = await check(chain)
    assert (after.problem, after.last, after.sealed_until) == (None, LAST_SEALED, LAST_SEALED)
    noted = Anchor(before.last, before.last_hash)
    problem = (await check(chain, noted)).problem
    assert problem is not None
    assert f"the anchor is row {ROWS}" in problem


async def test_a_log_written_anew_fails_at_a_seal_and_at_an_anchor(chain: Auth) -> None:
    before = await check(chain)
    await chain.sql("DELETE FROM audit_events WHERE sequence = 4")
    await chain.sql("UPDATE audit_events SET sequence = NULL, hash = NULL")
    await chain.sql("UPDATE audit_head SET sequence = 0, hash = decode(repeat('00', 32), 'hex')")
    await linked(chain)
    assert "not the one that was sealed" in ((await check(chain)).problem or "")
    await chain.sql("DELETE FROM audit_seals")
    assert (await check(chain)).problem is None
    noted = Anchor(before.first, before.last_hash)
    assert "not the one of the anchor" in ((await check(chain, noted)).problem or "")


async def test_a_seal_of_another_key_or_kind_is_none(chain: Auth) -> None:
    [row] = await chain.sql("SELECT token FROM audit_seals WHERE sequence = 6")
    claims = jwt.decode(row["token"], options={"verify_signature": False})
    header = jwt.get_unverified_header(row["token"])
    for key, kind in (("key-2", header["typ"]), ("key-1", "at+jwt")):
        forged = jwt.encode(
            claims, private_key(key), "RS256", headers={"kid": header["kid"], "typ": kind}
        )
        await chain.sql("UPDATE audit_seals SET token = $1 WHERE sequence = 6", forged)
        assert "The seal of row 6" in ((await check(chain)).problem or "")


async def test_what_was_changed_gets_no_seal(chain: Auth) -> None:
    await chain.sql("UPDATE audit_events SET details = '{}' WHERE sequence = 11")
    store, keys = chain.client.app[STORE], chain.client.app[KEYS]
    with pytest.raises(ChainBroken, match="Row 11 "):
        await seal(store, keys.signing, utc_now(), every=timedelta(0))
    registry = CollectorRegistry()
    keeper = AuditKeeper(store, keys, registry, seal_seconds=0)
    assert await keeper.work() is False
    assert registry.get_sample_value("auth_audit_chain_broken") == 1
    assert (registry.get_sample_value("auth_audit_seal_age_seconds") or 0) > 0
    assert len(await chain.sql("SELECT 1 FROM audit_seals")) == 2


async def test_what_waits_is_seen_as_lag(auth: Auth) -> None:
    registry = CollectorRegistry()
    store, keys = auth.client.app[STORE], auth.client.app[KEYS]
    keeper = AuditKeeper(store, keys, registry, seal_seconds=3600)
    await write(auth, 1, utc_now() - timedelta(seconds=100))
    async with store.begin() as repository:
        # Another replica is at it, and stuck.
        assert await repository.audit.take_head() is not None
        await keeper.work()
        assert (registry.get_sample_value("auth_audit_lag_seconds") or 0) >= 100
    await keeper.work()
    assert registry.get_sample_value("auth_audit_lag_seconds") == 0
    assert (await check(auth)).seals == 1


async def link_for_a_while(store: AuthStore, over: asyncio.Event) -> None:
    while not over.is_set():
        await link_some(store)
        # Without a pause they ask for nothing else, and take the time of the logins.
        await asyncio.sleep(0.002)


@pytest.mark.usefixtures("real_hashes")
async def test_fifty_logins_at_once_and_three_that_link_make_one_unbroken_chain(
    auth: Auth,
) -> None:
    await auth.register("ada@example.com")
    over = asyncio.Event()
    linkers = [
        asyncio.create_task(link_for_a_while(auth.client.app[STORE], over)) for _ in range(3)
    ]
    answers = await asyncio.gather(*(auth.log_in("ada@example.com") for _ in range(50)))
    over.set()
    await asyncio.gather(*linkers)
    assert {answer.status for answer in answers} == {200}
    await sealed(auth)
    report = await check(auth)
    assert (report.problem, report.rows, report.waiting) == (None, 51, 0)


async def test_a_transaction_that_takes_long_holds_up_nobody(auth: Auth) -> None:
    store = auth.client.app[STORE]
    async with store.begin() as repository:
        await record(repository, AuditEvent.LOGIN, utc_now())
        await write(auth, 3)
        await linked(auth)
    assert (await check(auth)).waiting == 1
    await linked(auth)
    report = await check(auth)
    assert (report.problem, report.rows) == (None, 4)


async def test_old_events_go_up_to_a_seal_and_the_rest_stays_verifiable(auth: Auth) -> None:
    store, now = auth.client.app[STORE], utc_now()
    for days in (500, 400, 300):
        at = now - timedelta(days=days)
        await write(auth, 700, at)
        await sealed(auth, at)
    assert await purge_audit(store, now, kept=YEAR) == 1400
    await linked(auth)
    report = await check(auth)
    assert (report.problem, report.purged_until, report.first) == (None, 1400, 1401)
    assert report.rows == 701
    # Again, and nothing happens; with less time to keep, the check of the old time fails.
    assert await purge_audit(store, now, kept=YEAR) == 0
    assert await purge_audit(store, now, kept=timedelta(days=200)) == 700
    await linked(auth)
    assert (await check(auth, kept=timedelta(days=200))).problem is None
    assert "365 days are to be kept" in ((await check(auth)).problem or "")


async def test_a_purge_that_was_interrupted_or_invented_is_told_apart(auth: Auth) -> None:
    now = utc_now()
    at = now - timedelta(days=400)
    await write(auth, 8, at)
    await sealed(auth, at)
    await write(auth, 2)
    async with auth.client.app[STORE].begin() as repository:
        assert await repository.audit.take_head() is not None
        await repository.audit.begin_purge(8)
    assert "No event tells" in ((await check(auth)).problem or "")
    await auth.sql("UPDATE audit_head SET purged_until = 0")
    await purge_audit(auth.client.app[STORE], now, kept=YEAR)
    await auth.sql(
        "INSERT INTO audit_events SELECT gen_random_uuid(), at, event, outcome, actor_id, user_id,"
        " subject, address, device, origin_salt, origin_hash, request_id, details, 8,"
        " origin_hash FROM audit_events WHERE sequence IS NULL LIMIT 1"
    )
    # What lies before the seal is on its way out and says nothing.
    assert (await check(auth)).problem is None
    assert await purge_audit(auth.client.app[STORE], now, kept=YEAR) == 1


async def test_a_deleted_person_leaves_no_address_and_an_intact_chain(auth: Auth) -> None:
    chief, token = await someone(auth, "admin")
    grant = await auth.register("ada@example.com")
    me = grant["user"]["id"]
    await auth.log_in("ada@example.com", "eight-wise-herons-sing")
    assert (await ask(auth, "DELETE", f"/{me}", token=token)).status == 204
    await linked(auth)
    assert await erase_origins(auth.client.app[STORE]) == 2
    left = await auth.sql(
        "SELECT event FROM audit_events WHERE user_id = $1::text::uuid"
        " AND (address IS NOT NULL OR device IS NOT NULL OR origin_salt IS NOT NULL)",
        me,
    )
    # Where the administrator sat when he deleted the account is about him.
    assert [row["event"] for row in left] == ["user.deleted"]
    assert (
        await auth.sql(
            "SELECT 1 FROM sessions WHERE user_id = $1::text::uuid AND address <> ''", me
        )
        == []
    )
    report = await check(auth)
    assert (report.problem, report.erased) == (None, 2)
    assert await erase_origins(auth.client.app[STORE]) == 0
    assert chief != me


async def test_the_hash_covers_every_field(chain: Auth) -> None:
    async with chain.client.app[STORE].read() as repository:
        [row] = await repository.audit.linked_after(0, 1)
    good = link_hash(GENESIS, 1, row)
    assert good == row.hash
    changes: dict[str, Any] = {
        "id": UUID(int=1),
        "at": row.at + timedelta(microseconds=1),
        "event": "logout",
        "outcome": "failure",
        "actor_id": row.id,
        "user_id": row.id,
        "subject": b"x",
        "origin_hash": b"x" * 32,
        "request_id": "other",
        "details": "{}",
    }
    for name, value in changes.items():
        assert link_hash(GENESIS, 1, replace(row, **{name: value})) != good, name
    assert link_hash(GENESIS, 2, row) != good
    assert link_hash(b"x" * 32, 1, row) != good
