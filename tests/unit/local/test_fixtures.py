"""The servers that all other tests stand on."""

import asyncpg
import pytest
import redis.asyncio

from tests import redis_server
from tests.databases import Databases


async def test_database_is_real_and_empty(empty_database_url: str) -> None:
    connection = await asyncpg.connect(empty_database_url)
    try:
        assert (
            await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
            == 0
        )
        assert await connection.fetchval("SHOW server_encoding") == "UTF8"
        assert await connection.fetchval("SELECT 'naïve ' || chr(9731)") == "naïve ☃"
    finally:
        await connection.close()


async def test_dropped_database_is_gone_although_somebody_is_connected(
    databases: Databases,
) -> None:
    url = databases.empty()
    connection = await asyncpg.connect(url)
    databases.drop(url)
    connection.terminate()
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await asyncpg.connect(url)


SERVICES = ("auth", "tasks")
# Rows that the migrations write may be changed, and others come.
CHANGED = {
    "auth": "UPDATE audit_head SET sequence = 7",
    "tasks": "UPDATE secrets SET value = 'x'",
}
ADDED = {
    "auth": "INSERT INTO sealing_keys (purpose, key, created_at) VALUES ('x', '', now())",
    "tasks": "INSERT INTO secrets VALUES ('another', 'y')",
}


async def run(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def rows(url: str) -> dict[str, list[str]]:
    """Every row of every table, as text."""
    connection = await asyncpg.connect(url)
    try:
        names = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname='public'")
        return {
            name: sorted(row[0] for row in await connection.fetch(f"SELECT t::text FROM {name} t"))
            for (name,) in names
        }
    finally:
        await connection.close()


@pytest.mark.parametrize("service", SERVICES)
async def test_what_was_lent_comes_back_empty_and_is_lent_again(
    databases: Databases, service: str
) -> None:
    new = databases.fresh(service)
    lent = databases.lend(service)
    await run(lent, ADDED[service], CHANGED[service])
    assert await rows(lent) != await rows(new)
    databases.take_back(service, lent)
    again = databases.lend(service)
    assert again == lent
    assert await rows(again) == await rows(new)
    databases.take_back(service, again)
    databases.drop(new)


ALTERED = [
    "ALTER TABLE changes RENAME TO away",
    "ALTER TABLE tasks DISABLE TRIGGER ALL",
    "DROP TRIGGER tally_new ON tasks",
    "ALTER FUNCTION tally_new() COST 7",
    "CREATE TABLE more (id int)",
    "DROP INDEX deliveries_due",
    "ANALYZE secrets",
    "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET jit = off', current_database()); END $$",
    "INSERT INTO secrets SELECT n, repeat('x', 999)::bytea FROM generate_series(1, 2000) AS n",
]


@pytest.mark.parametrize("change", ALTERED)
async def test_what_was_changed_is_not_lent_again(databases: Databases, change: str) -> None:
    lent = databases.lend("tasks")
    await run(lent, ADDED["tasks"], change)
    databases.take_back("tasks", lent)
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await asyncpg.connect(lent)


async def test_what_somebody_still_uses_is_not_lent_again(databases: Databases) -> None:
    lent = databases.lend("tasks")
    connection = await asyncpg.connect(lent)
    databases.take_back("tasks", lent)
    connection.terminate()
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await asyncpg.connect(lent)


async def test_two_who_borrow_at_once_get_two(databases: Databases) -> None:
    one, other = databases.lend("tasks"), databases.lend("tasks")
    assert one != other
    databases.take_back("tasks", one)
    databases.take_back("tasks", other)


@pytest.mark.parametrize("value", ["first", "second"])
async def test_redis_is_empty_for_each_test(redis_url: str, value: str) -> None:
    async with redis.asyncio.Redis.from_url(redis_url) as client:
        assert await client.dbsize() == 0
        await client.set("key", value)
        assert await client.eval("return redis.call('GET', KEYS[1])", 1, "key") == value.encode()


def test_the_fake_is_a_redis_too() -> None:
    with redis_server._fake() as url:
        redis_server.empty(url)
        with redis.Redis.from_url(url) as client:
            assert client.eval("return redis.call('TIME')[1]", 0)
