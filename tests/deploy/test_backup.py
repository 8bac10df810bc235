"""Backup and restore: what must be refused first, then that every row comes back."""

from __future__ import annotations

import os
import subprocess
import tarfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from prometheus_client import CollectorRegistry

from deploy.local.postgres import binaries
from shared.database import Database
from shared.database_figures import DatabaseFigures
from tests.databases import Databases, in_thread
from tests.deploy.conftest import DEPLOY

FILL = {
    "auth": (
        """
        INSERT INTO users (id, name, email, password_hash, password_changed_at, role, tier,
                           created_at, updated_at)
        SELECT gen_random_uuid(), 'Zoë ' || n, 'u' || n || '@example.com', '$argon2id$…', now(),
               'user', 'default', now() - n * interval '1 microsecond', now()
        FROM generate_series(1, 200) n
        """,
        """
        INSERT INTO sessions (id, user_id, created_at, used_at, idle_expires_at, expires_at)
        SELECT gen_random_uuid(), id, created_at, now(), now() + '7 days', now() + '30 days'
        FROM users
        """,
        "INSERT INTO signing_keys VALUES ('k', decode('00ff0a5c27', 'hex'), 'active', now())",
    ),
    "tasks": (
        """
        INSERT INTO tasks (id, owner_id, title, description, priority, due_date, completed,
                           labels, external_id, version, created_at, updated_at, deleted_at)
        SELECT gen_random_uuid(), gen_random_uuid(), E'tab\\t"quote" \\\\ ' || n,
               CASE WHEN n % 3 = 0 THEN NULL ELSE repeat('ж', n) END, n % 5 + 1,
               CASE WHEN n % 2 = 0 THEN now() END, false, ARRAY['a,b', '{c}'], 'x-' || n, n,
               now(), now(), CASE WHEN n % 7 = 0 THEN now() END
        FROM generate_series(1, 500) n
        """,
        # A child that is stored before its parent, as an import may make it.
        "UPDATE tasks SET parent_id = (SELECT max(id::text)::uuid FROM tasks) WHERE version = 1",
    ),
}


@dataclass(frozen=True)
class Pair:
    """The databases of auth and of tasks."""

    auth: str
    tasks: str

    @property
    def environment(self) -> dict[str, str]:
        path = f"{binaries()}:{os.environ['PATH']}"
        return {"PATH": path, "AUTH_DATABASE_URL": self.auth, "TASKS_DATABASE_URL": self.tasks}


@pytest.fixture
def source(auth_database_url: str, tasks_database_url: str) -> Pair:
    """Two databases with something in every kind of column."""
    in_thread(_execute(auth_database_url, FILL["auth"]))
    in_thread(_execute(tasks_database_url, FILL["tasks"]))
    return Pair(auth_database_url, tasks_database_url)


@pytest.fixture
def target(databases: Databases) -> Iterator[Pair]:
    """Two databases with nothing in them."""
    pair = Pair(databases.empty(), databases.empty())
    yield pair
    databases.drop(pair.auth)
    databases.drop(pair.tasks)


async def _execute(url: str, statements: tuple[str, ...]) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def _value(url: str, query: str) -> Any:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def _backup_timestamp(url: str) -> float:
    """When the database was last backed up, as its services tell Prometheus."""
    registry = CollectorRegistry()
    database = Database(url, registry, application="tests")
    await database.open()
    try:
        await DatabaseFigures(database, registry, room_bytes=0).look()
    finally:
        await database.close()
    found = registry.get_sample_value("db_backup_timestamp_seconds")
    assert found is not None
    return found


async def _content(url: str) -> dict[str, list[Any]]:
    """Every row of every table, and the definitions of all indexes and constraints."""
    connection = await asyncpg.connect(url)
    try:
        tables = await connection.fetch(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
        )
        found = {
            name: [tuple(row) for row in await connection.fetch(f'TABLE "{name}" ORDER BY 1')]
            for (name,) in tables
        }
        found["indexes"] = [
            tuple(row)
            for row in await connection.fetch(
                "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1"
            )
        ]
        found["constraints"] = [
            tuple(row)
            for row in await connection.fetch(
                "SELECT conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint "
                "WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2"
            )
        ]
        return found
    finally:
        await connection.close()


def content(pair: Pair) -> dict[str, dict[str, list[Any]]]:
    return {"auth": in_thread(_content(pair.auth)), "tasks": in_thread(_content(pair.tasks))}


def run(
    script: str, *words: str, environment: dict[str, str], stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["sh", str(DEPLOY / "backup" / script), *words],
        env=environment,
        input=stdin,
        capture_output=True,
        check=False,
    )


def backup(pair: Pair, folder: Path, **more: str) -> Path:
    done = run("backup.sh", str(folder), environment=pair.environment | more)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.decode().strip())


def test_a_database_that_is_away_leaves_no_archive(target: Pair, tmp_path: Path) -> None:
    environment = target.environment | {"TASKS_DATABASE_URL": "postgresql://127.0.0.1:1/tasks"}
    done = run("backup.sh", str(tmp_path), environment=environment)
    assert done.returncode != 0
    assert list(tmp_path.iterdir()) == []


def test_a_missing_address_is_named(target: Pair, tmp_path: Path) -> None:
    environment = target.environment
    del environment["TASKS_DATABASE_URL"]
    done = run("backup.sh", str(tmp_path), environment=environment)
    assert done.returncode == 78
    assert b"set TASKS_DATABASE_URL or TASKS_DATABASE_URL_FILE" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_database_with_tables_is_not_overwritten(source: Pair, tmp_path: Path) -> None:
    archive = backup(source, tmp_path)
    before = content(source)
    done = run("restore.sh", str(archive), environment=source.environment)
    assert done.returncode == 1
    assert b"REPLACE=yes" in done.stderr
    assert content(source) == before


@pytest.mark.parametrize("damage", ["a byte", "its end"])
def test_a_damaged_archive_touches_nothing(
    source: Pair, target: Pair, tmp_path: Path, damage: str
) -> None:
    archive = backup(source, tmp_path)
    whole = archive.read_bytes()
    middle = len(whole) // 2
    if damage == "a byte":
        archive.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    else:
        archive.write_bytes(whole[:middle])
    done = run("restore.sh", str(archive), environment=target.environment)
    assert done.returncode != 0
    empty: dict[str, list[Any]] = {"indexes": [], "constraints": []}
    assert content(target) == {"auth": empty, "tasks": empty}


def test_every_row_comes_back(source: Pair, target: Pair, tmp_path: Path) -> None:
    archive = backup(source, tmp_path)
    done = run("restore.sh", str(archive), environment=target.environment)
    assert done.returncode == 0, done.stderr
    before, after = content(source), content(target)
    assert before["auth"]["users"]
    assert len(before["tasks"]["tasks"]) == 500
    assert after == before


def test_replacing_takes_back_what_happened_since(source: Pair, tmp_path: Path) -> None:
    archive = backup(source, tmp_path)
    before = content(source)
    in_thread(_execute(source.tasks, ("DELETE FROM tasks WHERE version > 250",)))
    in_thread(_execute(source.auth, ("CREATE TABLE later (id int)",)))
    done = run("restore.sh", str(archive), environment=source.environment | {"REPLACE": "yes"})
    assert done.returncode == 0, done.stderr
    assert content(source) == before


def test_it_streams_and_reads_addresses_from_files(
    source: Pair, target: Pair, tmp_path: Path
) -> None:
    (tmp_path / "auth").write_text(f"{source.auth}\n")
    environment = source.environment | {"AUTH_DATABASE_URL_FILE": str(tmp_path / "auth")}
    environment["AUTH_DATABASE_URL"] = ""
    archive = run("backup.sh", "-", environment=environment)
    assert archive.returncode == 0, archive.stderr
    done = run("restore.sh", "-", environment=target.environment, stdin=archive.stdout)
    assert done.returncode == 0, done.stderr
    assert content(target) == content(source)


def test_a_database_knows_when_it_was_last_backed_up(source: Pair, tmp_path: Path) -> None:
    before = time.time()
    backup(source, tmp_path)
    for url in (source.auth, source.tasks):
        assert before - 1 <= in_thread(_backup_timestamp(url)) <= time.time()


def test_a_backup_that_cannot_be_remembered_is_a_backup(source: Pair, tmp_path: Path) -> None:
    name = in_thread(_value(source.tasks, "SELECT current_database()"))
    read_only = f'ALTER DATABASE "{name}" SET default_transaction_read_only = on'
    in_thread(_execute(source.tasks, (read_only,)))
    done = run("backup.sh", str(tmp_path), environment=source.environment)
    assert done.returncode == 0
    assert b"tasks does not remember it" in done.stderr
    assert len(list(tmp_path.iterdir())) == 1


def test_old_archives_make_room_and_strangers_cannot_read(source: Pair, tmp_path: Path) -> None:
    for day in range(10, 13):
        (tmp_path / f"tasklane-200001{day}T000000Z.tar").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("mine")
    archive = backup(source, tmp_path, KEEP="2")
    assert archive.stat().st_mode & 0o077 == 0
    kept = {path.name for path in tmp_path.iterdir()}
    assert kept == {"tasklane-20000112T000000Z.tar", archive.name, "notes.txt"}
    with tarfile.open(archive) as opened:
        assert opened.getnames() == ["SHA256SUMS", "auth.dump", "tasks.dump"]
