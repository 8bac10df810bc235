from datetime import timedelta

import asyncpg

from services.auth.usecases.purge import BATCH, PORTION, Expired
from shared.clock import utc_now
from tests.service.auth.conftest import Auth, Start, eventually


async def test_only_what_is_past_its_time_goes(auth: Auth) -> None:
    await auth.register("ada@example.com")
    await auth.log_in("ada@example.com")
    await auth.log_in("ada@example.com", "seven-lazy-badgers-sing")
    await auth.log_in("nobody@example.com", "seven-lazy-badgers-sing")
    now = utc_now()
    assert await auth.purge(now) == 0
    assert await auth.purge(now + timedelta(days=2)) == 6
    assert await auth.sql("SELECT 1 FROM failed_guesses") == []
    assert await auth.sql("SELECT 1 FROM failed_entries") == []
    assert len(await auth.sql("SELECT 1 FROM sessions")) == 2
    assert await auth.purge(now + timedelta(days=8)) == 2
    assert await auth.sql("SELECT 1 FROM sessions") == []
    assert len(await auth.sql("SELECT 1 FROM users")) == 1


async def test_many_rows_go_in_batches(auth: Auth) -> None:
    await auth.sql(
        "INSERT INTO failed_guesses SELECT sha256(n::text::bytea), 1, NULL, now() FROM"
        f" generate_series(1, {2 * BATCH + 1}) n"
    )
    assert await auth.purge(utc_now()) == 2 * BATCH + 1


# What each table keeps, and who removes it. One that grows is in the first two lines.
PURGED = {what.value for what in Expired} | {"audit_events", "audit_seals"}
ERASED = {"users"}  # a deleted account leaves its id, so that no other gets it
KEPT = {
    "account_deletions",  # whoever was away for long, or was restored, has to learn of them
    "alembic_version",
    "audit_head",
    "audit_seal_keys",  # one for each signing key that has sealed
    "deletion_head",
    "revocation_head",
    "sealing_keys",
    "signing_keys",  # the rotation removes them
}


async def test_no_table_grows_that_nobody_empties(auth: Auth) -> None:
    rows = await auth.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    assert {row["tablename"] for row in rows} == PURGED | ERASED | KEPT
    for name in (*PURGED, "audit_origins"):
        assert auth.metric("auth_purge_finished_timestamp_seconds", of=name) > 0


async def test_the_service_purges_by_itself_and_counts_what_goes(start: Start) -> None:
    """Without a pause while there is more."""
    auth = await start(purge_seconds=0.1)
    await auth.sql(
        "INSERT INTO failed_guesses SELECT sha256(n::text::bytea), 1, NULL,"
        f" now() - interval '1 day' FROM generate_series(1, {PORTION + 1}) n"
    )

    async def gone() -> bool:
        return auth.metric("auth_purged_total", of="failed_guesses") == PORTION + 1

    await eventually(gone)
    assert await auth.sql("SELECT 1 FROM failed_guesses") == []


async def test_a_table_that_cannot_be_purged_is_counted_and_keeps_nothing_in_the_others(
    start: Start,
) -> None:
    auth = await start(purge_seconds=0.1)
    finished = "auth_purge_finished_timestamp_seconds"
    # The first that would be purged is out of reach until another transaction ends.
    connection = await asyncpg.connect(auth.database_url)
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE sessions IN ACCESS EXCLUSIVE MODE")
            before = auth.metric(finished, of="sessions")
            await auth.sql("INSERT INTO failed_guesses VALUES ('x', 1, NULL, '2020-01-01')")

            async def gone() -> bool:
                return await auth.sql("SELECT 1 FROM failed_guesses") == []

            await eventually(gone)
            assert auth.metric("auth_purge_failures_total", of="sessions") >= 1
            assert auth.metric(finished, of="sessions") == before
    finally:
        await connection.close()
