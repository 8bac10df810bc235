"""Every operation of both versions, through the gateway, asked in all ways that its schema allows.

Schemathesis makes the requests from the served document, good ones and bad ones, and holds the
answers to it. This run is short; a longer one with `--max-time` per group of operations finds more.
"""

import json
import secrets
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import ROOT, System

# What ends the session that the run is made with.
LOGOUT = "/auth/((session-)?logout$|sessions/)"
# What only administrators have the rights for; both versions are the same.
ADMINISTRATION = "/(users|audit)(/|$)"

CONFIG = """
[auth.wfc]
path = "{folder}/users.yaml"
peers = ["alice", "bob"]
"""
# What everybody who points schemathesis at a running system gets too.
SHIPPED = (ROOT / "schemathesis.toml").read_text()
USER = """- name: {name}
  fixedHeaders:
  - name: Authorization
    value: Bearer {token}
"""


def post(url: str, body: dict[str, Any], headers: dict[str, str]) -> dict[str, Any]:
    data = json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json", **headers})
    with urllib.request.urlopen(request, timeout=30) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def make_user(url: str, name: str) -> str:
    """Registers a user with a task of his own and returns his access token."""
    account = {
        "name": name,
        "email": f"{name}-{secrets.token_hex(6)}@example.com",
        "password": secrets.token_urlsafe(18),
    }
    token = str(post(f"{url}/api/v2/auth/register", account, {})["access_token"])
    headers = {"Authorization": f"Bearer {token}"}
    post(f"{url}/api/v2/tasks", {"title": f"Only {name} may see this"}, headers)
    return token


def make_administrator(system: System) -> str:
    """An administrator's access token."""
    password = secrets.token_urlsafe(18)
    login = {"email": system.make_admin(password), "password": password}
    return str(post(f"{system.url}/api/v2/auth/login", login, {})["access_token"])


@pytest.fixture
def ask(system: System, tmp_path: Path) -> Callable[..., str]:
    """Runs schemathesis with these options; returns what it printed.

    It has two users of its own, or is an administrator, who sees what belongs to others.
    """

    def run(version: str, seconds: int, *options: str, administrator: bool = False) -> str:
        config = SHIPPED
        if administrator:
            options = (*options, "-H", f"Authorization: Bearer {make_administrator(system)}")
        else:
            users = [
                USER.format(name=name, token=make_user(system.url, name))
                for name in ("alice", "bob")
            ]
            (tmp_path / "users.yaml").write_text("auth:\n" + "".join(users))
            config = CONFIG.format(folder=tmp_path) + SHIPPED
        (tmp_path / "schemathesis.toml").write_text(config)
        done = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli"),
                *("--config-file", str(tmp_path / "schemathesis.toml"), "--no-color"),
                *("run", f"{system.url}/api/{version}/openapi.json", "--checks", "all"),
                *("--seed", "1", "--max-time", str(seconds)),
                *("--no-shrink", "--continue-on-failure", *options),
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=150,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_the_answers_keep_to_the_document(ask: Callable[..., str], version: str) -> None:
    # One worker: in several threads the parser of Python 3.11 fails under the generator now and
    # then ("AST constructor recursion depth mismatch").
    # A logout would leave the rest of the run with refusals only.
    shown = ask(version, 10, "--workers", "1", "--exclude-path-regex", LOGOUT)
    # Without two users the check of who may see what is left out, and only a warning says so.
    assert "will not run" not in shown, shown
    assert "Test cases:" in shown


def test_administration_keeps_to_the_document(ask: Callable[..., str]) -> None:
    shown = ask(
        *("v2", 30, "--workers", "1", "--include-path-regex", ADMINISTRATION),
        # Without sequences: the events of an account outlive it, and a check takes them for a part
        # of it that is still there.
        *("--phases", "fuzzing", "--max-examples", "3"),
        administrator=True,
    )
    # Every one of them, not only as many as there was time for.
    assert "Tested: 7" in shown, shown


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_logout_keeps_to_the_document(ask: Callable[..., str], version: str) -> None:
    assert "Test cases:" in ask(version, 2, "--include-path-regex", LOGOUT)
