"""What the tests of the deployment read: rendered manifests, rule files, live metrics."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import redis_server
from tests.deploy.situations import CONFIG, VARIABLES, a_door
from tests.e2e.conftest import System, running
from tests.ports import free_port

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
OVERLAYS = ("dev", "prod")
# The jobs of Prometheus, and the ops port that each is scraped at.
JOBS = {
    "gateway": "GATEWAY_OPS_PORT",
    "auth": "AUTH_OPS_PORT",
    "tasks": "TASKS_OPS_PORT",
    "tasks-worker": "TASKS_WORKER_OPS_PORT",
}
_SUFFIXES = {
    "counter": ("", "_created"),
    "gauge": ("",),
    "histogram": ("_bucket", "_sum", "_count", "_created"),
    "summary": ("_sum", "_count", "_created"),
    "info": ("",),
}


def need(*programs: str) -> str:
    """The first of the programs that is installed; skips the test when none is."""
    for program in programs:
        found = shutil.which(program)
        if found:
            return found
    pytest.skip(f"none of these is installed: {', '.join(programs)}")


@functools.cache
def _render(kubectl: str, overlay: str) -> str:
    done = subprocess.run(
        [kubectl, "kustomize", str(DEPLOY / "k8s" / "overlays" / overlay)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(params=OVERLAYS)
def overlay_text(request: pytest.FixtureRequest) -> str:
    """Each overlay as `kubectl kustomize` prints it."""
    return _render(need("kubectl"), request.param)


@pytest.fixture
def overlay(overlay_text: str) -> list[dict[str, Any]]:
    """Its objects."""
    return [document for document in yaml.safe_load_all(overlay_text) if document]


@dataclass(frozen=True, slots=True)
class Watched:
    """A whole system whose metrics are read, and its Redis, which may be held for a while."""

    system: System
    redis: subprocess.Popen[bytes]


@pytest.fixture(scope="session")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """One for all tests of the metrics."""
    program = redis_server.binary()
    if program is None:
        pytest.skip("no Redis on this machine that can be stopped and continued")
    port = free_port()
    with (
        a_door(tmp_path_factory.mktemp("door")) as door,
        redis_server.process(program, tmp_path_factory.mktemp("redis"), port) as redis,
        running(
            tmp_path_factory.mktemp("watched"),
            CONFIG,
            {**VARIABLES, "REDIS_URL": f"redis://127.0.0.1:{port}/0", "PUBLIC_ADDRESS": door},
        ) as system,
    ):
        yield Watched(system, redis)


@pytest.fixture(scope="session")
def exported(watched: Watched) -> dict[str, set[str]]:
    """The names of all series that each job exports, whether or not they have samples yet."""
    return {job: series_names(scrape(watched.system.address(port))) for job, port in JOBS.items()}


def scrape(address: str) -> str:
    with urllib.request.urlopen(f"{address}/metrics", timeout=10) as answer:
        text: str = answer.read().decode()
    return text


def series_names(exposition: str) -> set[str]:
    """Every series name that the `# TYPE` lines announce."""
    names: set[str] = set()
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", exposition, re.MULTILINE):
        names.update(name + suffix for suffix in _SUFFIXES[kind])
    return names
