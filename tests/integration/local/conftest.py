"""A supervisor in a process of its own, with stand-ins for the services."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.local.confine import confined
from deploy.local.plan import PORTS
from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[3]
_DEADLINE_SECONDS = 30


def until(condition: Callable[[], Any], what: str) -> Any:
    """Waits for a condition and returns its value; fails the test after half a minute."""
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"waited in vain for: {what}"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


class Supervisor:
    """`python -m deploy.local` on a data folder; stopped at the end of the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self._output = folder / f"output-{time.monotonic_ns()}.txt"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *arguments: str, **variables: str) -> "Supervisor":
        """Starts it on free ports; `variables` are added to its environment."""
        environment = {k: v for k, v in os.environ.items() if not k.endswith("_URL")}
        environment |= {name: str(free_port()) for name in PORTS}
        environment |= {"PYTHONPATH": str(ROOT), "DATA_DIR": str(self.data)} | variables
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                confined(
                    [sys.executable, "-m", "deploy.local", *arguments], death_signal=signal.SIGTERM
                ),
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        return self

    def output(self) -> str:
        """What it has printed so far."""
        return self._output.read_text()

    def until_ready(self) -> dict[str, Any]:
        """Waits for the ready line and returns what `run.json` says."""
        assert self.process is not None
        until(
            lambda: (
                "ready: " in self.output() or (self.process and self.process.poll() is not None)
            ),
            "the ready line",
        )
        assert "ready: " in self.output(), self.output()
        return self.state()

    def has_ended(self) -> bool:
        """Whether its process is gone."""
        return self.process is not None and self.process.poll() is not None

    def state(self) -> dict[str, Any]:
        """The run file."""
        found: dict[str, Any] = json.loads((self.data / "run.json").read_text())
        return found

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Sends a signal and returns the exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(_DEADLINE_SECONDS)

    def code(self) -> int:
        """Waits for the end and returns the exit code."""
        assert self.process is not None
        return self.process.wait(_DEADLINE_SECONDS)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with stand-ins for the three services."""
    for name in ("auth", "tasks", "gateway"):
        package = tmp_path / "services" / name
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "__main__.py").write_text(f"from services.stub import main\n\nmain({name!r})\n")
    (tmp_path / "services" / "__init__.py").touch()
    shutil.copy(Path(__file__).with_name("stub.py"), tmp_path / "services" / "stub.py")
    return tmp_path


@pytest.fixture
def supervisors(project: Path) -> Iterator[Callable[[], Supervisor]]:
    """Makes supervisors of one data folder; every one is ended with the test."""
    made: list[Supervisor] = []

    def make() -> Supervisor:
        made.append(Supervisor(project))
        return made[-1]

    yield make
    for supervisor in made:
        if supervisor.process is not None and supervisor.process.poll() is None:
            supervisor.end()


@pytest.fixture
def supervisor(supervisors: Callable[[], Supervisor]) -> Supervisor:
    """One supervisor, not started."""
    return supervisors()
