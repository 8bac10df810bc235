"""The PostgreSQL that the tests run on, and fresh databases in it.

Found in this order: TEST_DATABASE_URL (a database whose user may create others), the wheel's
binaries, `postgres` on PATH.
"""

import asyncio
import contextlib
import os
import subprocess
import time
import uuid
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from deploy.local.pidfile import is_ready
from deploy.local.postgres import FAST, Place, Server, binaries
from shared.migrations import upgrade

T = TypeVar("T")
_START_SECONDS = 30


class Databases:
    """Databases of one server, each made as a copy of a migrated template."""

    def __init__(self, admin_url: str) -> None:
        self._admin_url = admin_url
        # Unique, so that runs that share one server do not meet.
        self._prefix = f"tasklane_{uuid.uuid4().hex[:12]}"
        self._templates: dict[str, str] = {}
        self._made: set[str] = set()
        self._count = 0
        self._copy = "STRATEGY file_copy" if self._server_version() >= 15 else ""

    def fresh(self, service: str) -> str:
        """The URL of a new, migrated and empty database of `service`."""
        if service not in self._templates:
            template = self._create()
            # In a thread: it runs an event loop, and the test has one already.
            with ThreadPoolExecutor(1) as thread:
                location = f"services/{service}/migrations"
                thread.submit(upgrade, self.url(template), location).result()
            self._templates[service] = template
        # Copying the files takes a third of the time of the default, which writes them to the log.
        return self.url(self._create(f"TEMPLATE {self._templates[service]} {self._copy}"))

    def empty(self) -> str:
        """The URL of a new database with nothing in it."""
        return self.url(self._create())

    def drop(self, url: str) -> None:
        """Removes a database, whoever is still connected."""
        name = urlsplit(url).path.removeprefix("/")
        self._run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        self._made.discard(name)

    def drop_all(self) -> None:
        """Removes everything that was made."""
        for name in sorted(self._made):
            self.drop(self.url(name))

    def url(self, name: str) -> str:
        """The URL of the database `name` on this server."""
        return urlunsplit(urlsplit(self._admin_url)._replace(path=f"/{name}"))

    def _create(self, options: str = "") -> str:
        self._count += 1
        name = f"{self._prefix}_{self._count}"
        self._run(f"CREATE DATABASE {name} {options}")
        self._made.add(name)
        return name

    def _server_version(self) -> int:
        return int(in_thread(_ask(self._admin_url, "SHOW server_version_num"))) // 10_000

    def _run(self, statement: str) -> None:
        in_thread(_execute(self._admin_url, statement))


def in_thread(job: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine to its end in a loop of its own, whatever loop the caller has."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, job).result()


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def _ask(url: str, query: str) -> Any:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


def describe() -> str:
    """Which server the tests use, for the head of the report."""
    if os.environ.get("TEST_DATABASE_URL"):
        return "PostgreSQL of TEST_DATABASE_URL"
    folder = binaries()
    answer = subprocess.run(
        [folder / "postgres", "--version"], capture_output=True, text=True, check=True
    )
    return f"{answer.stdout.strip()} in {folder}"


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Databases]:
    """A server for the tests of one process; its data, in `folder`, is not made to last."""
    given = os.environ.get("TEST_DATABASE_URL")
    if given:
        databases = Databases(given)
        try:
            yield databases
        finally:
            databases.drop_all()
        return
    folder.mkdir(parents=True, exist_ok=True)
    place = Place(folder)
    with (folder / "postgres.log").open("ab") as log:
        server = Server(place, FAST, log)
        try:
            assert server.acquire()
            server.start()
            deadline = time.monotonic() + _START_SECONDS
            while not is_ready(place.data, server.process_id):
                assert server.exit_code() is None, (folder / "postgres.log").read_text()
                assert time.monotonic() < deadline, "PostgreSQL did not get ready"
                time.sleep(0.02)
            yield Databases(place.url("postgres"))
        finally:
            server.stop()
