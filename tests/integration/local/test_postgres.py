"""The embedded server under what machines do to it: kills, stale files, other users, old data."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from deploy.local import confine, postgres
from deploy.local.errors import CannotRun
from deploy.local.pidfile import is_ready
from deploy.local.postgres import FAST, Place, Server, create_databases
from tests.databases import in_thread
from tests.integration.local.conftest import alive, until


@contextlib.contextmanager
def server(folder: Path) -> Iterator[Server]:
    """A running server on `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "log").open("ab") as log:
        started = Server(Place(folder), FAST, log)
        try:
            assert started.acquire()
            started.start()
            until(lambda: is_ready(started.place.data, started.process_id), "the server")
            yield started
        finally:
            started.stop()


def ask(place: Place, query: str, database: str = "postgres") -> object:
    async def run() -> object:
        connection = await asyncpg.connect(place.url(database))
        try:
            return await connection.fetchval(query)
        finally:
            await connection.close()

    return in_thread(run())


# What root can choose from; anybody else is himself.
IDENTITIES = [confine.NAMESPACE, "65534"] if os.geteuid() == 0 else [confine.SAME]


@pytest.mark.parametrize("identity", IDENTITIES)
def test_serves_without_being_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, identity: str
) -> None:
    monkeypatch.setattr(postgres, "_identity", lambda: identity)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with server(closed / "data") as running:
        create_databases(running.place, ("auth", "tasks"))
        create_databases(running.place, ("auth", "tasks"))
        assert ask(running.place, "SELECT upper('ä')", "tasks") == "Ä"
        assert ask(running.place, "SHOW listen_addresses") == ""
        assert running.place.sockets.stat().st_mode & 0o777 == 0o700
    assert closed.stat().st_mode & 0o777 == 0o700


def test_a_folder_may_have_any_name(tmp_path: Path) -> None:
    with server(tmp_path / "a b&c=%41?ä") as running:
        create_databases(running.place, ("auth",))
        assert ask(running.place, "SELECT 1", "auth") == 1


def test_data_of_one_identity_serves_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for identity in [*IDENTITIES, *IDENTITIES]:
        monkeypatch.setattr(postgres, "_identity", lambda chosen=identity: chosen)
        with server(tmp_path / "data") as running:
            assert ask(running.place, "SELECT 1") == 1


def test_a_pid_file_that_names_a_stranger_is_dropped_and_the_stranger_lives(
    tmp_path: Path,
) -> None:
    with server(tmp_path):
        content = (tmp_path / "postgres" / "postmaster.pid").read_text()
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        stale = content.replace(content.split("\n", 1)[0], str(stranger.pid), 1)
        (tmp_path / "postgres" / "postmaster.pid").write_text(stale)
        with server(tmp_path) as running:
            assert ask(running.place, "SELECT 1") == 1
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_pid_file_that_names_a_zombie_is_dropped(tmp_path: Path) -> None:
    with server(tmp_path):
        pass
    zombie = subprocess.Popen([sys.executable, "-c", ""])
    try:
        until(lambda: not alive(zombie.pid), "the end of the process")
        (tmp_path / "postgres" / "postmaster.pid").write_text(f"{zombie.pid}\n/x\n")
        with server(tmp_path) as running:
            assert ask(running.place, "SELECT 1") == 1
    finally:
        zombie.wait()


@pytest.mark.parametrize("content", ["", "junk\n", "999999999\n"])
def test_a_broken_pid_file_is_no_hindrance(tmp_path: Path, content: str) -> None:
    with server(tmp_path):
        pass
    (tmp_path / "postgres" / "postmaster.pid").write_text(content)
    with server(tmp_path) as running:
        assert ask(running.place, "SELECT 1") == 1


def test_a_server_started_by_hand_is_left_in_peace(tmp_path: Path) -> None:
    with server(tmp_path) as running:
        assert running.process_id is not None
        (tmp_path / "postgres.lock").unlink()
        with (tmp_path / "log").open("ab") as log:
            second = Server(Place(tmp_path), FAST, log)
            assert second.acquire()
            with pytest.raises(CannotRun, match=f"process {running.process_id}"):
                second.start()
            second.stop()
        assert ask(running.place, "SELECT 1") == 1


def test_what_was_committed_survives_a_kill(tmp_path: Path) -> None:
    with server(tmp_path) as running:
        create_databases(running.place, ("tasks",))
        assert running.process_id is not None
        os.kill(running.process_id, 9)
        until(lambda: running.exit_code() is not None, "its end")
    until(lambda: not _lock_held(tmp_path), "the end of its last process")
    with server(tmp_path) as running:
        assert ask(running.place, "SELECT 1", "tasks") == 1


def _lock_held(folder: Path) -> bool:
    with (folder / "log").open("ab") as log:
        probe = Server(Place(folder), FAST, log)
        free = probe.acquire()
        probe.stop()
    return not free


def test_the_folder_is_taken_while_a_server_lives(tmp_path: Path) -> None:
    with server(tmp_path):
        assert _lock_held(tmp_path)
    assert not _lock_held(tmp_path)


def test_an_interrupted_making_is_begun_again(tmp_path: Path) -> None:
    unfinished = tmp_path / "postgres.unfinished"
    unfinished.mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text("18\n")
    with server(tmp_path) as running:
        assert ask(running.place, "SELECT 1") == 1


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [("PG_VERSION", "12\n", "made by PostgreSQL 12"), ("letters.txt", "dear", "is not empty")],
)
def test_a_folder_that_is_not_ours_is_not_touched(
    tmp_path: Path, name: str, content: str, message: str
) -> None:
    foreign = tmp_path / "postgres" / name
    foreign.parent.mkdir()
    foreign.write_text(content)
    with (tmp_path / "log").open("ab") as log:
        refused = Server(Place(tmp_path), FAST, log)
        assert refused.acquire()
        with pytest.raises(CannotRun, match=message):
            refused.start()
        refused.stop()
    assert foreign.read_text() == content


def test_the_server_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from deploy.local.postgres import FAST, Place, Server\n"
        "server = Server(Place(Path(sys.argv[1])), FAST, open(sys.argv[1] + '/log', 'ab'))\n"
        "server.acquire()\n"
        "server.start()\n"
        "print(server.process_id, flush=True)\n"
        "time.sleep(600)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    with parent.stdout:
        pid = int(parent.stdout.readline())
    until(lambda: is_ready(tmp_path / "postgres", pid), "the server")
    parent.kill()
    parent.wait()
    until(lambda: not alive(pid), "the end of the server")
