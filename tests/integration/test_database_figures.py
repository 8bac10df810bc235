"""What a process tells of its database: nothing made up while it is away, and no guess."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from prometheus_client import CollectorRegistry

from shared.database import Database
from shared.database_figures import DatabaseFigures, backup_time
from tests.ports import free_port

NAMES = (
    "db_size_bytes",
    "db_replicas",
    "db_replica_lag_seconds",
    "db_replica_lag_bytes",
    "db_backup_timestamp_seconds",
)


@asynccontextmanager
async def looking(url: str) -> AsyncIterator[tuple[DatabaseFigures, CollectorRegistry]]:
    registry = CollectorRegistry()
    database = Database(url, registry, application="tests", acquire_seconds=0.5)
    await database.open()
    try:
        yield DatabaseFigures(database, registry, room_bytes=7), registry
    finally:
        await database.close()


def figure(registry: CollectorRegistry, name: str) -> float:
    found = registry.get_sample_value(name)
    assert found is not None, name
    return found


@pytest.fixture
async def stranger(empty_database_url: str) -> AsyncIterator[str]:
    """The URL of a role that may not read what others do, as the services' roles are."""
    admin = await asyncpg.connect(empty_database_url)
    parts = urlsplit(empty_database_url)
    name = f"stranger_{parts.path.rpartition('_')[2]}"
    await admin.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'stranger'")
    try:
        place = parts.netloc.rpartition("@")[2]
        yield urlunsplit(parts._replace(netloc=f"{name}:stranger@{place}"))
    finally:
        await admin.execute(f"DROP ROLE {name}")
        await admin.close()


async def test_a_database_that_is_away_is_unknown() -> None:
    async with looking(f"postgresql://nobody@127.0.0.1:{free_port()}/none") as (figures, registry):
        await figures.look()
        assert all(math.isnan(figure(registry, name)) for name in NAMES)
        assert figure(registry, "db_room_bytes") == 7


async def test_what_was_known_is_forgotten_when_the_database_goes(empty_database_url: str) -> None:
    async with looking(empty_database_url) as (figures, registry):
        await figures.look()
        assert figure(registry, "db_size_bytes") > 1_000_000
        await figures._database.close()
        await figures.look()
        assert all(math.isnan(figure(registry, name)) for name in NAMES)


async def test_a_server_without_replicas_has_no_lag(empty_database_url: str) -> None:
    async with looking(empty_database_url) as (figures, registry):
        await figures.look()
        assert figure(registry, "db_replicas") == 0
        assert figure(registry, "db_replica_lag_seconds") == 0
        assert figure(registry, "db_replica_lag_bytes") == 0
        assert figure(registry, "db_backup_timestamp_seconds") == 0


async def test_a_role_that_may_not_see_replicas_knows_that_there_is_none(stranger: str) -> None:
    async with looking(stranger) as (figures, registry):
        await figures.look()
        assert figure(registry, "db_size_bytes") > 1_000_000
        assert figure(registry, "db_replica_lag_seconds") == 0
        assert figure(registry, "db_replica_lag_bytes") == 0


async def test_a_role_that_may_not_see_replicas_knows_no_lag_of_one(
    stranger: str, empty_database_url: str
) -> None:
    admin = await asyncpg.connect(empty_database_url)
    name = urlsplit(stranger).username
    # The test server has no replica: this is the row that such a role sees of one.
    await admin.execute(
        f"""
        CREATE VIEW public.pg_stat_replication AS
            SELECT 1 AS pid, NULL AS state,
                NULL::interval AS replay_lag, NULL::pg_lsn AS replay_lsn;
        GRANT SELECT ON public.pg_stat_replication TO {name};
        ALTER ROLE {name} SET search_path = public, pg_catalog
        """
    )
    try:
        async with looking(stranger) as (figures, registry):
            await figures.look()
            assert figure(registry, "db_replicas") == 1
            assert math.isnan(figure(registry, "db_replica_lag_seconds"))
            assert math.isnan(figure(registry, "db_replica_lag_bytes"))
    finally:
        await admin.execute("DROP VIEW public.pg_stat_replication")
        await admin.close()


@pytest.mark.parametrize(
    ("note", "seconds"),
    [
        (None, 0.0),
        ("the database of tasks", 0.0),
        ("last backup yesterday", 0.0),
        ("last backup 2026-11-21T02:17:00", 0.0),
        ("last backup 1970-01-02T00:00:00Z", 86_400.0),
    ],
)
def test_a_comment_tells_of_a_backup(note: str | None, seconds: float) -> None:
    assert backup_time(note) == seconds
