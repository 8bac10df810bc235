"""The pool on a real PostgreSQL: servers that go away, hang and come back; nothing leaks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import asyncpg
import pytest
from prometheus_client import CollectorRegistry

from shared.database import Database, Store
from shared.errors import Conflict, ServiceUnavailable
from shared.process import StartRefused
from tests.ports import free_port
from tests.postgres_proxy import Proxy, proxied

# What a backend sends when the server is killed, some moments before its connection breaks.
_FIELDS = b"SFATAL\0VFATAL\0C57P01\0Mterminating connection\0\0"
LAST_WORDS = b"E" + (len(_FIELDS) + 4).to_bytes(4, "big") + _FIELDS

Open = Callable[..., AbstractAsyncContextManager[Database]]


@asynccontextmanager
async def opened(url: str, **options: Any) -> AsyncIterator[Database]:
    """A database that is given up on quickly, so that tests need not wait."""
    settings = {"acquire_seconds": 0.5, "statement_seconds": 0.5, "max_size": 2, **options}
    database = Database(url, CollectorRegistry(), application="tests", **settings)
    await database.open()
    try:
        yield database
    finally:
        await database.close()


@pytest.fixture
async def database(empty_database_url: str) -> AsyncIterator[Database]:
    async with opened(empty_database_url) as database:
        async with database.connection() as connection:
            await connection.execute("CREATE TABLE things (id int PRIMARY KEY, name text)")
        yield database


@pytest.fixture
async def proxy(empty_database_url: str) -> AsyncIterator[Proxy]:
    async with proxied(empty_database_url) as proxy:
        yield proxy


def counted(database: Database) -> float:
    """How many calls were refused because of the database."""
    value: float = database._failures._value.get()
    return value


async def answers(database: Database) -> None:
    """Asserts that every connection of the pool can be had, and works."""
    async with asyncio.timeout(10):
        async with database.connection() as first, database.connection() as second:
            assert await first.fetchval("SELECT 1") == 1
            assert await second.fetchval("SELECT 2") == 2


async def refused(database: Database, statement: str = "SELECT 1") -> ServiceUnavailable:
    """The refusal that `statement` must meet, in bounded time."""
    async with asyncio.timeout(10):
        with pytest.raises(ServiceUnavailable) as caught:
            async with database.connection() as connection:
                await connection.fetch(statement)
    return caught.value


async def eventually_answers(database: Database) -> None:
    """Asserts that calls succeed again by themselves."""
    async with asyncio.timeout(10):
        while True:
            try:
                await answers(database)
            except ServiceUnavailable:
                await asyncio.sleep(0.05)
            else:
                return


async def names(database: Database) -> list[str]:
    async with database.connection() as connection:
        return [row["name"] for row in await connection.fetch("SELECT name FROM things")]


async def test_a_server_that_is_away_is_no_reason_not_to_start_and_may_come(
    empty_database_url: str,
) -> None:
    proxy = Proxy(empty_database_url)
    async with opened(proxy.url) as database:
        before = counted(database)
        error = await refused(database)
        assert error.text == "The database is not available right now"
        assert error.headers["Retry-After"] == "1"
        assert counted(database) == before + 1
        await proxy.listen()
        await eventually_answers(database)
    await proxy.shut()


async def test_a_server_that_goes_away_may_come_back(proxy: Proxy) -> None:
    async with opened(proxy.url) as database:
        await answers(database)
        await proxy.shut()
        for _ in range(3):
            await refused(database)
        await proxy.listen()
        await eventually_answers(database)


async def test_a_connection_that_is_cut_in_a_statement(proxy: Proxy) -> None:
    async with opened(proxy.url, statement_seconds=20) as database:
        asking = asyncio.create_task(refused(database, "SELECT pg_sleep(15)"))
        await asyncio.sleep(0.2)
        proxy.cut()
        await asking
        await eventually_answers(database)


async def test_a_server_that_says_that_it_ends_before_the_connection_does(proxy: Proxy) -> None:
    async with opened(proxy.url) as database:

        async def work() -> None:
            async with database.transaction() as connection:
                await connection.execute("SELECT 1")
                proxy.say(LAST_WORDS)
                # They are read between two statements, as they may be at any time.
                await asyncio.sleep(0.05)

        await answers(database)
        with pytest.raises(ServiceUnavailable):
            await work()
        await eventually_answers(database)


async def test_a_server_that_says_nothing(proxy: Proxy) -> None:
    async with opened(proxy.url) as database:
        proxy.hold()
        await refused(database)
        proxy.let_go()
        await eventually_answers(database)


async def test_a_server_that_falls_silent_in_a_statement(proxy: Proxy) -> None:
    async with opened(proxy.url) as database:
        await answers(database)
        proxy.hold()
        await refused(database)
        proxy.let_go()
        await eventually_answers(database)


async def test_an_administrator_who_ends_our_sessions(database: Database) -> None:
    asking = asyncio.create_task(refused(database, "SELECT pg_sleep(15)"))
    await asyncio.sleep(0.1)
    async with database.connection() as connection:
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    await asking
    await eventually_answers(database)


@pytest.mark.parametrize("missing", ["database", "user"])
async def test_a_database_or_user_that_is_not_there_yet(
    empty_database_url: str, missing: str
) -> None:
    if missing == "database":
        url = empty_database_url.replace("tasklane_", "nowhere_")
    else:
        url = empty_database_url.replace("//postgres", "//nobody")
    async with opened(url) as database:
        await refused(database)


@pytest.mark.parametrize(
    "url",
    [
        "mysql://root:hunter2@localhost/x",
        "hunter2",
        "postgresql://u:hunter2@localhost:notaport/x",
        "postgresql://u:hunter2@localhost/x?sslmode=sometimes",
    ],
)
async def test_a_url_that_is_none_stops_the_start_and_is_not_shown(url: str) -> None:
    with pytest.raises(StartRefused, match="the database URL is not usable") as caught:
        async with opened(url):
            pass
    assert "hunter2" not in str(caught.value)


async def test_an_exhausted_pool_refuses_in_bounded_time_and_loses_nothing(
    database: Database,
) -> None:
    async with database.connection(), database.connection():
        errors = await asyncio.gather(*(refused(database) for _ in range(20)))
        assert len(errors) == 20
    await answers(database)
    assert database._size() <= 2
    assert database._waiting == 0
    assert counted(database) == 20


async def test_many_callers_share_few_connections(database: Database) -> None:
    async def ask(number: int) -> int:
        async with database.connection() as connection:
            answer: int = await connection.fetchval("SELECT $1::int", number)
            return answer

    assert await asyncio.gather(*(ask(at) for at in range(200))) == list(range(200))
    assert database._size() <= 2


async def test_callers_that_give_up_take_no_connection_with_them(database: Database) -> None:
    async def hold(statement: str) -> None:
        async with database.transaction() as connection:
            await connection.execute(statement)

    for _ in range(5):
        busy = [asyncio.create_task(hold("SELECT pg_sleep(0.4)")) for _ in range(2)]
        waiting = [asyncio.create_task(hold("SELECT 1")) for _ in range(5)]
        await asyncio.sleep(0.05)
        for task in (*busy, *waiting):
            task.cancel()
        await asyncio.gather(*busy, *waiting, return_exceptions=True)
    await answers(database)
    assert database._waiting == 0


async def test_a_statement_that_takes_too_long(database: Database) -> None:
    await refused(database, "SELECT pg_sleep(20)")
    await answers(database)


async def test_a_lock_that_is_not_given_back(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute("LOCK TABLE things")
        await refused(database, "SELECT * FROM things")
    await answers(database)


async def test_two_that_wait_for_each_other(empty_database_url: str) -> None:
    async with opened(empty_database_url, statement_seconds=20) as database:
        async with database.connection() as connection:
            await connection.execute("CREATE TABLE things AS SELECT generate_series(1, 2) AS id")
        both = asyncio.Barrier(2)

        async def lock(first: int, second: int) -> None:
            async with database.transaction() as connection:
                await connection.execute("SELECT FROM things WHERE id = $1 FOR UPDATE", first)
                await both.wait()
                await connection.execute("SELECT FROM things WHERE id = $1 FOR UPDATE", second)

        async with asyncio.timeout(15):
            outcomes = await asyncio.gather(lock(1, 2), lock(2, 1), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes if outcome] == [ServiceUnavailable]


async def test_a_server_that_only_reads(database: Database, empty_database_url: str) -> None:
    async with database.connection() as connection:
        name = await connection.fetchval("SELECT current_database()")
        await connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    async with opened(empty_database_url) as standby:
        await refused(standby, "INSERT INTO things VALUES (1, 'a')")
        assert await names(standby) == []


class Odd(BaseException):
    """Nothing that anybody expects."""


@pytest.mark.parametrize(
    "error", [ValueError("no"), Conflict(), asyncio.CancelledError(), Odd(), OSError("disk")]
)
async def test_whatever_is_raised_nothing_is_written(
    database: Database, error: BaseException
) -> None:
    async def fail_half_way() -> None:
        async with database.transaction() as connection:
            await connection.execute("INSERT INTO things VALUES (1, 'half')")
            raise error

    with pytest.raises(type(error)):
        await fail_half_way()
    assert await names(database) == []
    await answers(database)
    assert counted(database) == 0


async def test_a_failed_statement_takes_the_whole_transaction_with_it(database: Database) -> None:
    async def insert_twice() -> None:
        async with database.transaction() as connection:
            await connection.execute("INSERT INTO things VALUES (1, 'a')")
            await connection.execute("INSERT INTO things VALUES (1, 'b')")

    with pytest.raises(asyncpg.UniqueViolationError):
        await insert_twice()
    assert await names(database) == []
    assert counted(database) == 0


@pytest.mark.parametrize(
    ("statement", "argument"),
    [
        ("SELECT $1::int", 2**40),
        ("SELECT $1::int", "text"),
        ("SELECT $1::text", 5),
        ("SELECT $1::text", "\ud800"),
        ("SELECT $1::uuid", "no id"),
        ("SELECT $1::text", "\x00"),
        ("SELECT 1 / $1::int", 0),
        ("SELEKT $1", 1),
        ("SELECT FROM nowhere WHERE id = $1::int", 1),
    ],
)
async def test_a_fault_of_ours_is_not_blamed_on_the_server(
    database: Database, statement: str, argument: Any
) -> None:
    with pytest.raises((asyncpg.PostgresError, ValueError)):
        async with database.connection() as connection:
            await connection.fetch(statement, argument)
    assert counted(database) == 0
    await answers(database)


async def test_what_was_done_without_a_raise_is_kept(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute("INSERT INTO things VALUES (1, 'whole')")
    assert await names(database) == ["whole"]


async def test_the_store_binds_a_repository_to_each_unit_of_work(database: Database) -> None:
    store = Store(database, lambda connection: connection)
    async with store.begin() as work:
        await work.execute("INSERT INTO things VALUES (1, 'a')")
    async with store.read() as work:
        assert await work.fetchval("SELECT count(*) FROM things") == 1


async def test_a_snapshot_sees_one_state_of_the_data(database: Database) -> None:
    store = Store(database, lambda connection: connection)
    async with store.snapshot() as work:
        assert await work.fetchval("SELECT count(*) FROM things") == 0
        async with store.begin() as other:
            await other.execute("INSERT INTO things VALUES (1, 'a')")
        assert await work.fetchval("SELECT count(*) FROM things") == 0
    assert await names(database) == ["a"]


async def test_sessions_are_in_utc_and_say_whose_they_are(database: Database) -> None:
    async with database.connection() as connection:
        assert await connection.fetchval("SHOW timezone") == "UTC"
        assert await connection.fetchval("SHOW application_name") == "tasklane-tests"


async def test_the_health_check_is_a_round_trip(proxy: Proxy) -> None:
    async with opened(proxy.url) as database:
        await database.check()
        await proxy.shut()
        with pytest.raises(ServiceUnavailable):
            await database.check()


@pytest.mark.parametrize(
    ("found", "expected", "refused"),
    [
        (None, "0001", "revision none and 0001 is needed: run the command"),
        ("0001", "0002", "revision 0001 and 0002 is needed: run the command"),
        ("0002", "0002", None),
        ("0003", "0002", None),
    ],
)
async def test_the_revision_that_a_process_needs(
    database: Database, found: str | None, expected: str, refused: str | None
) -> None:
    if found is not None:
        async with database.connection() as connection:
            await connection.execute("CREATE TABLE alembic_version (version_num varchar(32))")
            await connection.execute("INSERT INTO alembic_version VALUES ($1)", found)
    if refused is None:
        await database.require_revision(expected, "the command")
    else:
        with pytest.raises(StartRefused, match=refused):
            await database.require_revision(expected, "the command")


async def test_a_revision_that_cannot_be_asked_for_is_no_reason() -> None:
    async with opened(f"postgresql://postgres@127.0.0.1:{free_port()}/x") as database:
        await database.require_revision("0001", "the command")


async def test_what_comes_back_while_it_closes_is_closed_with_it(empty_database_url: str) -> None:
    """Else it would rest where nobody fetches it, and closing would wait out its five seconds."""
    database = Database(empty_database_url, CollectorRegistry(), application="tests")
    await database.open()

    async def ask() -> None:
        async with database.connection() as connection:
            await connection.fetchval("SELECT pg_sleep(0.3)")

    asking = asyncio.create_task(ask())
    await asyncio.sleep(0.1)
    async with asyncio.timeout(4):
        await database.close()
    await asking


async def test_closing_waits_for_nobody_for_ever(empty_database_url: str) -> None:
    database = Database(empty_database_url, CollectorRegistry(), application="tests")
    await database.close()
    await database.open()
    async with asyncio.timeout(15):
        asking = asyncio.create_task(refused(database, "SELECT pg_sleep(10)"))
        await asyncio.sleep(0.1)
        await database.close()
        await asking
