"""PostgreSQL: a bounded pool, transactions, and what happens when the server is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from types import MappingProxyType, TracebackType
from typing import Any, Generic, TypeVar

import asyncpg
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from shared.errors import ServiceUnavailable
from shared.process import StartRefused
from shared.rest import Rest

log = structlog.get_logger(__name__)

Connection = Any  # asyncpg ships no types
R = TypeVar("R")

# The connection whose transaction the units of work of this context join, by its pool.
_JOINED: ContextVar[tuple[Database, Connection] | None] = ContextVar("joined", default=None)

# The server went away, is read-only, out of room or out of time, or chose this transaction as the
# victim of a deadlock: nobody's input is at fault, and another try may succeed.
_LOST = (
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.LockNotAvailableError,
    asyncpg.PostgresSystemError,
    asyncpg.TransactionRollbackError,
    # The server said in between that it ends, and the connection has not broken yet.
    asyncpg.InternalClientError,
)
# No connection can be had. An OSError says so only here: in the middle of a unit of work it is
# about something else, such as a client that hung up on a stream.
_UNREACHABLE = (
    *_LOST,
    OSError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
)


class Database:
    """One pool of connections.

    Waiting for a connection takes at most `acquire_seconds`, a statement at most
    `statement_seconds`; past that, and when the server is away, callers get ServiceUnavailable.
    `planner` are settings of PostgreSQL's planner for all of them.
    The pool opens connections as they are needed, so a process starts without its database.
    """

    def __init__(
        self,
        url: str,
        registry: CollectorRegistry,
        *,
        application: str,
        max_size: int = 10,
        acquire_seconds: float = 2.0,
        statement_seconds: float = 5.0,
        planner: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._url = url
        self._application = application
        self._max_size = max_size
        self._acquire_seconds = acquire_seconds
        self._statement_seconds = statement_seconds
        self._planner = planner
        self._pool: Any = None
        self._rest = Rest()
        self._closing = False
        Gauge("db_pool_size", "Open connections", registry=registry).set_function(self._size)
        Gauge("db_pool_idle", "Connections at rest", registry=registry).set_function(self._idle)
        Gauge("db_pool_max", "Most connections allowed", registry=registry).set(max_size)
        self._waiting = 0
        Gauge("db_pool_waiting", "Callers waiting for one", registry=registry).set_function(
            lambda: self._waiting
        )
        self._failures = Counter(
            "db_unavailable_total", "Calls refused because of the database", registry=registry
        )

    async def open(self) -> None:
        """Prepares the pool and tries a first connection; a server that is away may still come.

        Raises StartRefused for a bad URL.
        """
        milliseconds = str(int(self._statement_seconds * 1000))
        self._pool = await asyncpg.create_pool(
            self._url,
            min_size=0,
            max_size=self._max_size,
            command_timeout=self._statement_seconds + 1.0,
            timeout=self._acquire_seconds,
            reset=_nothing_to_reset,
            server_settings={
                "application_name": f"tasklane-{self._application}",
                "timezone": "UTC",
                "statement_timeout": milliseconds,
                "lock_timeout": milliseconds,
                "idle_in_transaction_session_timeout": "15000",
                "jit": "off",
                **self._planner,
            },
        )
        try:
            async with self.connection():
                return
        except ServiceUnavailable as error:
            # asyncpg reads the URL when it connects, not before.
            if isinstance(error.__cause__, ValueError):
                self._pool.terminate()
                text = f"the database URL is not usable: {error.__cause__}"
                raise StartRefused(text) from None

    async def close(self) -> None:
        """Closes the pool; connections still in use after five seconds are cut."""
        if self._pool is None:
            return
        self._closing = True
        try:
            async with asyncio.timeout(5.0):
                while (rested := self._rest.take()) is not None:
                    await self._release(rested.connection)
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()

    def connection(self) -> _Use:
        """A connection outside a transaction, for single statements."""
        return _Use(self)

    @asynccontextmanager
    async def transaction(self, *, isolation: str | None = None) -> AsyncIterator[Connection]:
        """A connection inside one transaction: committed at the end, rolled back on any raise."""
        async with self.connection() as connection, connection.transaction(isolation=isolation):
            yield connection

    @asynccontextmanager
    async def joined(self) -> AsyncIterator[Connection]:
        """As `transaction`; units of work inside the block become parts of it.

        A `transaction` inside it is a savepoint. The block may not hand work to other tasks.
        """
        async with self.transaction() as connection:
            mark = _JOINED.set((self, connection))
            try:
                yield connection
            finally:
                _JOINED.reset(mark)

    @asynccontextmanager
    async def apart(self) -> AsyncIterator[Connection]:
        """As `transaction`, and inside a block of `joined` no part of it: it is kept by itself."""
        mark = _JOINED.set(None)
        try:
            async with self.transaction() as connection:
                yield connection
        finally:
            _JOINED.reset(mark)

    @property
    def is_joined(self) -> bool:
        """Whether units of work of this context are parts of a transaction around them."""
        joined = _JOINED.get()
        return joined is not None and joined[0] is self

    async def check(self) -> None:
        """Health check: one round trip."""
        async with self.connection() as connection:
            await connection.fetchval("SELECT 1")

    async def require_revision(self, expected: str, command: str) -> None:
        """Raises StartRefused when the schema is older than `expected`; says to run `command`.

        A server that is away is no reason: readiness tells that, and it may come back.
        """
        try:
            async with self.connection() as connection:
                found = await connection.fetchval("SELECT max(version_num) FROM alembic_version")
        except ServiceUnavailable:
            return
        except asyncpg.UndefinedTableError:
            found = None
        if found is None or found < expected:
            raise StartRefused(
                f"the database is at revision {found or 'none'} and {expected} is needed: "
                f"run {command}"
            )

    async def take(self) -> Connection:
        """A connection; whoever takes it gives it back. Raises ServiceUnavailable."""
        while (rested := self._rest.take()) is not None:
            if rested.fit:
                return rested.connection
            await self._release(rested.connection)
        self._waiting += 1
        try:
            connection = await self._pool.acquire(timeout=self._acquire_seconds)
        except (*_UNREACHABLE, ValueError) as error:
            raise self.refusal(error) from error
        finally:
            self._waiting -= 1
        self._rest.lend(connection)
        return connection

    async def give_back(self, connection: Connection, *, clean: bool) -> None:
        """Takes a connection back; `clean` when nothing was raised while it was in use."""
        # Once it closes, nobody would fetch a connection from its rest any more.
        wanted = clean and not self._waiting and not self._closing
        if not self._rest.keep(connection, wanted=wanted):
            await self._release(connection)

    def refusal(self, error: Exception) -> ServiceUnavailable:
        """What callers get for an error of the server's; counts and logs it."""
        self._failures.inc()
        log.warning("database_unavailable", error=repr(error))
        return ServiceUnavailable("The database is not available right now")

    async def _release(self, connection: Connection) -> None:
        # The work is done or undone by now. asyncpg closes a connection that cannot be reset.
        with suppress(*_UNREACHABLE):
            await self._pool.release(connection, timeout=self._acquire_seconds)

    def _size(self) -> float:
        return float(self._pool.get_size()) if self._pool is not None else 0.0

    def _idle(self) -> float:
        if self._pool is None:
            return 0.0
        return float(self._pool.get_idle_size() + len(self._rest))


class _Use:
    """One use of a connection: that of the transaction around it, or one of its own."""

    __slots__ = ("_connection", "_database", "_own")

    def __init__(self, database: Database) -> None:
        self._database = database
        self._own = False
        self._connection: Connection = None

    async def __aenter__(self) -> Connection:
        joined = _JOINED.get()
        if joined is not None and joined[0] is self._database:
            self._connection = joined[1]
        else:
            self._connection = await self._database.take()
            self._own = True
        return self._connection

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, asyncpg.InternalClientError):
            # It can do no more, and does not look closed to the pool.
            self._connection.terminate()
        if self._own:
            await self._database.give_back(self._connection, clean=error is None)
        if isinstance(error, _LOST):
            raise self._database.refusal(error) from error


async def _nothing_to_reset(_connection: Connection) -> None:
    """What asyncpg does beside a rollback when a connection comes back.

    By default that is a round trip after every use, to undo settings, locks and cursors of the
    session. Nobody here makes such: what a unit of work sets or locks ends with its transaction.
    """


class Store(Generic[R]):
    """Opens units of work: a repository bound to one connection."""

    def __init__(self, database: Database, repository: Callable[[Connection], R]) -> None:
        self._database = database
        self._repository = repository

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[R]:
        """One transaction: everything in it happens, or nothing."""
        async with self._database.transaction() as connection:
            yield self._repository(connection)

    @asynccontextmanager
    async def joined(self) -> AsyncIterator[R]:
        """As `begin`; what other stores do inside the block happens in the same transaction."""
        async with self._database.joined() as connection:
            yield self._repository(connection)

    @asynccontextmanager
    async def apart(self) -> AsyncIterator[R]:
        """As `begin`; inside a block of `joined` it is a transaction by itself all the same."""
        async with self._database.apart() as connection:
            yield self._repository(connection)

    @property
    def is_joined(self) -> bool:
        """Whether what is done here is a part of a transaction around it."""
        return self._database.is_joined

    def read(self) -> _Reading[R]:
        """Single statements, each its own transaction: a third cheaper than `begin`."""
        return _Reading(self._database, self._repository)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[R]:
        """Several statements that must see one state of the data."""
        async with self._database.transaction(isolation="repeatable_read") as connection:
            yield self._repository(connection)


class _Reading(_Use, Generic[R]):
    """One use of a connection by a repository."""

    __slots__ = ("_repository",)

    def __init__(self, database: Database, repository: Callable[[Connection], R]) -> None:
        super().__init__(database)
        self._repository = repository

    async def __aenter__(self) -> R:
        return self._repository(await super().__aenter__())
