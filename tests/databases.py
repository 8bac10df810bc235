"""Databases for tests: copies of a migrated template, lent to one test after the other.

Emptying a database takes a tenth of the work of making one, and every second test needs one.
"""

import asyncio
import uuid
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from shared.migrations import upgrade

T = TypeVar("T")
# Rows that were removed stay in the files; a database that has gathered too many is made anew.
_MOST_LENDINGS = 40
_MOST_BYTES = 1_000_000
_LONGEST_PAUSE_SECONDS = 0.5

# Whatever changes the schema, the settings or the statistics of a database leaves a younger row in
# one of these, or takes one away.
_CATALOGS = (
    "pg_attrdef",
    "pg_attribute",
    "pg_class",
    "pg_constraint",
    "pg_event_trigger",
    "pg_extension",
    "pg_index",
    "pg_namespace",
    "pg_policy",
    "pg_proc",
    "pg_sequence",
    "pg_trigger",
    "pg_type",
)
# The server analyses its own catalogs by itself, a template's as well.
_FIRST_OF_USERS = 16_384
_MARKS = " UNION ALL ".join(
    f"SELECT '{name}', count(*), max(xmin::text::bigint) FROM {name}" for name in _CATALOGS
)
_SHAPE = f"""
    SELECT array_agg(mark::text ORDER BY mark::text) FROM (
        {_MARKS}
        UNION ALL SELECT 'pg_statistic', count(*), max(xmin::text::bigint) FROM pg_statistic
        WHERE starelid >= {_FIRST_OF_USERS}
        UNION ALL SELECT 'settings', count(*), max(xmin::text::bigint) FROM pg_db_role_setting
        WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
    ) AS mark
"""
_TABLES = "relkind = 'r' AND relnamespace = 'public'::regnamespace"
_STATE = f"""
    SELECT ({_SHAPE}) AS shape,
    (SELECT max(pg_relation_size(oid)) FROM pg_class WHERE {_TABLES}) AS bytes
"""
_OTHERS = """
    SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
    AND backend_type = 'client backend' AND pid <> pg_backend_pid()
"""


@dataclass(frozen=True, slots=True)
class _Template:
    """A migrated database: its name, what its schema looks like, and how a copy gets its rows."""

    name: str
    shape: list[str]
    restore: str


class Databases:
    """The databases of one server."""

    def __init__(self, admin_url: str) -> None:
        self._admin_url = admin_url
        # Unique, so that runs that share one server do not meet.
        self._prefix = f"tasklane_{uuid.uuid4().hex[:12]}"
        self._templates: dict[str, _Template] = {}
        self._made: set[str] = set()
        self._free: dict[str, list[str]] = {}
        self._lendings: dict[str, int] = {}
        self._count = 0
        version, self._is_superuser = in_thread(
            _row(
                admin_url,
                "SELECT current_setting('server_version_num')::int, rolsuper FROM pg_roles"
                " WHERE rolname = current_user",
            )
        )
        self._copy = "STRATEGY file_copy" if version >= 150_000 else ""

    def fresh(self, service: str) -> str:
        """The URL of a new, migrated and empty database of `service`."""
        template = self._template(service).name
        # Copying the files takes a third of the time of the default, which writes them to the log.
        return self.url(self._create(f"TEMPLATE {template} {self._copy}"))

    def empty(self) -> str:
        """The URL of a new database with nothing in it."""
        return self.url(self._create())

    def lend(self, service: str) -> str:
        """The URL of a migrated and empty database of `service`, until `take_back`."""
        free = self._free.setdefault(service, [])
        url = free.pop() if free else self.fresh(service)
        self._lendings[url] = self._lendings.get(url, 0) + 1
        return url

    def take_back(self, service: str, url: str) -> None:
        """Empties what was lent, for the next; or removes it when it is no more as it was made."""
        # Without a superuser's rights triggers and references are in the way of emptying it.
        if (
            self._is_superuser
            and self._lendings[url] < _MOST_LENDINGS
            and in_thread(_emptied(url, self._template(service)))
        ):
            self._free[service].append(url)
        else:
            self.drop(url)

    def drop(self, url: str) -> None:
        """Removes a database, whoever is still connected."""
        name = urlsplit(url).path.removeprefix("/")
        self._run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        self._made.discard(name)
        self._lendings.pop(url, None)

    def drop_all(self) -> None:
        """Removes everything that was made."""
        for name in sorted(self._made):
            self.drop(self.url(name))

    def url(self, name: str) -> str:
        """The URL of the database `name` on this server."""
        return urlunsplit(urlsplit(self._admin_url)._replace(path=f"/{name}"))

    def _template(self, service: str) -> _Template:
        if service not in self._templates:
            name = self._create()
            # In a thread: it runs an event loop, and the test has one already.
            with ThreadPoolExecutor(1) as thread:
                location = f"services/{service}/migrations"
                thread.submit(upgrade, self.url(name), location).result()
            self._templates[service] = in_thread(_described(name, self.url(name)))
        return self._templates[service]

    def _create(self, options: str = "") -> str:
        self._count += 1
        name = f"{self._prefix}_{self._count}"
        self._run(f"CREATE DATABASE {name} {options}")
        self._made.add(name)
        return name

    def _run(self, statement: str) -> None:
        in_thread(_execute(self._admin_url, statement))


def in_thread(job: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine to its end in a loop of its own, whatever loop the caller has."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, job).result()


async def _described(name: str, url: str) -> _Template:
    connection = await asyncpg.connect(url)
    try:
        found = await connection.fetch(f"SELECT oid::regclass::text FROM pg_class WHERE {_TABLES}")
        tables = [row[0] for row in found]
        # In one message, which is one transaction.
        restore = ["SET session_replication_role = replica"]
        restore += [f"DELETE FROM {table}" for table in tables]
        for table in tables:
            rows = await connection.fetch(f"SELECT quote_literal(to_json(t)) FROM {table} AS t")
            restore += [
                f"INSERT INTO {table} SELECT * FROM json_populate_record(NULL::{table}, {row[0]})"
                for row in rows
            ]
        return _Template(name, await connection.fetchval(_SHAPE), ";".join(restore))
    finally:
        await connection.close()


async def _emptied(url: str, template: _Template) -> bool:
    """Whether a copy of the template is as it was made, once its rows are put back."""
    connection = await asyncpg.connect(url)
    try:
        pause = 0.002
        # A session that was closed a moment ago is there until its process notices.
        while await connection.fetchval(_OTHERS):
            if pause > _LONGEST_PAUSE_SECONDS:
                return False
            await asyncio.sleep(pause)
            pause *= 2
        state = await connection.fetchrow(_STATE)
        if state["shape"] != template.shape or state["bytes"] > _MOST_BYTES:
            return False
        await connection.execute(template.restore)
    finally:
        await connection.close()
    return True


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def _row(url: str, query: str) -> Any:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchrow(query)
    finally:
        await connection.close()
