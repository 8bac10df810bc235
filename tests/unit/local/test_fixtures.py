"""The servers that all other tests stand on."""

import asyncpg
import pytest
import redis.asyncio

from tests import redis_server
from tests.postgres import Databases


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
