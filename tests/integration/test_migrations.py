"""Migrations on a real PostgreSQL: twice, two at once, failing half way, and those of services."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from shared.migrations import upgrade
from shared.revisions import head
from tests.databases import in_thread

ENV = "from shared.migrations import run_env\n\nrun_env()\n"

REVISION = """
from alembic import op

revision = "{number}"
down_revision = {below!r}


def upgrade() -> None:
    for statement in {statements!r}:
        op.execute(statement)
"""


@pytest.fixture
def location(tmp_path: Path) -> Path:
    """A folder for revisions, none in it yet; its name has the character that ini files expand."""
    folder = tmp_path / "100%" / "migrations"
    (folder / "versions").mkdir(parents=True)
    (folder / "env.py").write_text(ENV)
    return folder


def write(location: Path, number: int, *statements: str) -> None:
    """Adds the revision `number`, one statement after the other."""
    below = f"{number - 1:04}" if number > 1 else None
    text = REVISION.format(number=f"{number:04}", below=below, statements=statements)
    (location / "versions" / f"{number:04}_sample.py").write_text(text)


def ask(url: str, query: str) -> Any:
    async def fetch() -> Any:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetchval(query)
        finally:
            await connection.close()

    return in_thread(fetch())


def revision(url: str) -> str | None:
    found: str | None = ask(url, "SELECT max(version_num) FROM alembic_version")
    return found


def test_a_failing_revision_leaves_nothing_of_itself_and_all_before_it(
    empty_database_url: str, location: Path
) -> None:
    write(location, 1, "CREATE TABLE first (id int)")
    write(location, 2, "CREATE TABLE second (id int)", "SELECT 1 / 0")
    with pytest.raises(Exception, match="division by zero"):
        upgrade(empty_database_url, location)
    assert revision(empty_database_url) == "0001"
    assert ask(empty_database_url, "SELECT to_regclass('first')") is not None
    assert ask(empty_database_url, "SELECT to_regclass('second')") is None
    write(location, 2, "CREATE TABLE second (id int)")
    upgrade(empty_database_url, location)
    assert revision(empty_database_url) == "0002"


def test_two_at_once_take_turns(empty_database_url: str, location: Path) -> None:
    write(location, 1, "CREATE TABLE once (id int)", "SELECT pg_sleep(0.3)")
    write(location, 2, "INSERT INTO once VALUES (1)")
    # Processes, as replicas are: Alembic's context is one per process.
    program = "import sys; from shared.migrations import upgrade; upgrade(*sys.argv[1:])"
    command = [sys.executable, "-c", program, empty_database_url, str(location)]
    for run in [subprocess.Popen(command) for _ in range(3)]:
        assert run.wait(60) == 0
    assert ask(empty_database_url, "SELECT count(*) FROM once") == 1
    assert revision(empty_database_url) == "0002"


def test_one_that_waits_for_a_table_gives_up(empty_database_url: str, location: Path) -> None:
    write(location, 1, "CREATE TABLE seen AS SELECT current_setting('lock_timeout') AS lock")
    upgrade(empty_database_url, location)
    assert ask(empty_database_url, "SELECT lock FROM seen") == "10s"


def test_a_server_that_is_away(empty_database_url: str, location: Path) -> None:
    write(location, 1, "CREATE TABLE first (id int)")
    with pytest.raises(Exception, match="does not exist"):
        upgrade(empty_database_url.replace("tasklane_", "nowhere_"), location)


def test_twice_changes_nothing(empty_database_url: str, location: Path) -> None:
    write(location, 1, "CREATE TABLE first (id int)")
    upgrade(empty_database_url, location)
    upgrade(empty_database_url, location)
    assert revision(empty_database_url) == head(location) == "0001"


def test_the_newest_revision_is_the_highest_number(location: Path) -> None:
    for number in (2, 10, 1):
        write(location, number)
    (location / "versions" / "notes.py").write_text("")
    assert head(location) == "0010"


@pytest.mark.parametrize("service", ["auth", "tasks"])
def test_migrations_of_a_service(empty_database_url: str, service: str) -> None:
    folder = Path(f"services/{service}/migrations")
    upgrade(empty_database_url, folder)
    upgrade(empty_database_url, folder)
    assert revision(empty_database_url) == head(folder)
