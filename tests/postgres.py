"""The PostgreSQL that the tests run on.

Found in this order: TEST_DATABASE_URL (a database whose user may create others), the wheel's
binaries, `postgres` on PATH.
"""

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from deploy.local.pidfile import is_ready
from deploy.local.postgres import FAST, Place, Server, binaries
from tests.databases import Databases

_START_SECONDS = 30


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
