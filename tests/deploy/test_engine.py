"""The image, built and run by a container engine; where none answers the summary says so."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator

import pytest

from tests.deploy.conftest import DEPLOY, need

TAG = "tasklane:tested"
BASE = re.search(r"^ARG PYTHON_IMAGE=(\S+)$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
CONFINED = ("--rm", "--network=none", "--read-only", "--cap-drop=ALL")


def docker(*words: str) -> subprocess.CompletedProcess[str]:
    command = [need("docker"), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="session")
def image() -> Iterator[str]:
    """The tag of the image that the shipped Dockerfile makes."""
    if docker("version").returncode:
        pytest.skip("no container engine answers: no image is built, and nothing runs in one")
    assert BASE is not None
    if docker("image", "inspect", BASE[1]).returncode and docker("pull", BASE[1]).returncode:
        pytest.skip(f"the container engine has no {BASE[1]} and cannot fetch it")
    built = docker("build", "--file", f"{DEPLOY}/Dockerfile", "--tag", TAG, str(DEPLOY.parent))
    assert built.returncode == 0, built.stderr
    yield TAG
    docker("image", "rm", TAG)


def test_the_image_runs_as_nobody_and_cannot_be_written(image: str) -> None:
    told = "import os; print(os.getuid(), os.getgid(), os.access('/app', os.W_OK))"
    done = docker("run", *CONFINED, image, "python", "-c", told)
    assert (done.returncode, done.stdout) == (0, "10001 10001 False\n"), done.stderr


@pytest.mark.parametrize(
    ("command", "missing"),
    [
        ("services.auth", "AUTH_DATABASE_URL"),
        ("services.tasks", "TASKS_DATABASE_URL"),
        ("services.gateway", "SERVICE_CREDENTIAL"),
    ],
)
def test_a_process_without_its_settings_says_which(image: str, command: str, missing: str) -> None:
    done = docker("run", *CONFINED, image, "python", "-m", command)
    assert done.returncode == 78
    assert missing in done.stderr


def test_the_image_holds_no_installer_no_tests_and_no_secret(image: str) -> None:
    told = "import importlib.util as u, os; print(u.find_spec('pip'), sorted(os.listdir('/app')))"
    done = docker("run", *CONFINED, image, "python", "-c", told)
    assert done.stdout == "None ['deploy', 'services', 'shared']\n", done.stderr
