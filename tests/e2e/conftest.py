"""The real processes, started the way `make run` starts them."""

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deploy.local.confine import confined
from deploy.local.plan import PORTS
from deploy.local.postgres import Place
from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
_START_SECONDS = 90
_STOP_SECONDS = 60

# Limits that no test meets by accident; everything else is as shipped.
GENEROUS = """
[limits]
on_redis_failure = "local"
[limits.tiers]
anonymous = ["100000/minute"]
default = ["100000/minute"]
premium = ["100000/minute"]
admin = ["100000/minute"]
"""


@dataclass(frozen=True, slots=True)
class System:
    """A running system; `pids` are looked up anew, since a process may come back as another."""

    data: Path
    supervisor: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        """The gateway's public address."""
        return str(self._state()["url"])

    def address(self, variable: str) -> str:
        """The address of one port by its variable, such as AUTH_OPS_PORT."""
        return f"http://127.0.0.1:{self._state()['ports'][variable]}"

    @property
    def pids(self) -> dict[str, int]:
        """The processes by name: auth, tasks, tasks-worker, gateway, postgres."""
        found: dict[str, int] = self._state()["processes"]
        return found

    @property
    def logs(self) -> Path:
        """The folder with `<process>.log`."""
        return self.data / "logs"

    @property
    def output(self) -> str:
        """What the supervisor has printed."""
        return (self.data / "output.txt").read_text()

    def database_url(self, name: str) -> str:
        """The address of one of the embedded databases: auth or tasks."""
        return Place(self.data).url(name)

    def make_admin(self, password: str) -> str:
        """Makes an administrator with what `make admin` runs; his address."""
        email = f"root-{secrets.token_hex(6)}@example.com"
        made = subprocess.run(
            [sys.executable, "-m", "deploy.local.admin", email],
            cwd=ROOT,
            env={**os.environ, "DATA_DIR": str(self.data)},
            input=password,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert made.returncode == 0, made.stderr
        return email

    def stop(self) -> int:
        """Ends everything and returns the supervisor's exit code."""
        if self.supervisor.poll() is None:
            self.supervisor.send_signal(signal.SIGTERM)
        return self.supervisor.wait(_STOP_SECONDS)

    def _state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.data / "run.json").read_text())
        return found


@contextlib.contextmanager
def running(folder: Path, config: str, variables: dict[str, str]) -> Iterator[System]:
    """A system on free ports with its data in `folder`; `variables` are added to the run's."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "gateway.toml").write_text(config)
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_URL")}
    environment |= {name: str(free_port()) for name in PORTS}
    environment |= {"DATA_DIR": str(folder), "GATEWAY_CONFIG": str(folder / "gateway.toml")}
    with (folder / "output.txt").open("wb") as output:
        supervisor = subprocess.Popen(
            confined([sys.executable, "-m", "deploy.local"], death_signal=signal.SIGTERM),
            cwd=ROOT,
            env=environment | variables,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    system = System(folder, supervisor)
    try:
        _await_ready(system)
        yield system
    finally:
        with contextlib.suppress(subprocess.TimeoutExpired):
            system.stop()
        if supervisor.poll() is None:
            supervisor.kill()
            supervisor.wait()


def _await_ready(system: System) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while "\nready: " not in system.output:
        assert system.supervisor.poll() is None, system.output
        assert time.monotonic() < deadline, system.output
        time.sleep(0.05)


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """One system for all tests that leave it as it was: processes running, data only added."""
    with running(tmp_path_factory.mktemp("system"), GENEROUS, {}) as started:
        yield started


@pytest.fixture
def start_system(tmp_path: Path) -> Iterator[Callable[..., System]]:
    """Starts systems for one test: `start_system(config=..., NAME="value")`; kill what you like."""
    with contextlib.ExitStack() as stack:
        count = 0

        def start(config: str = GENEROUS, **variables: str) -> System:
            nonlocal count
            count += 1
            return stack.enter_context(running(tmp_path / f"system{count}", config, variables))

        yield start
