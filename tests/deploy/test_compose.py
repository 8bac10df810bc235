"""The compose file: hardened, complete, and silent about secrets."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy import make_secrets
from services.auth.settings import Settings as AuthSettings
from services.gateway.settings import Settings as GatewaySettings
from services.tasks.settings import Settings as TasksSettings
from shared.settings import REQUIRED, load, variables
from tests.deploy.conftest import DEPLOY, need

COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
SETTINGS: dict[str, type[Any]] = {
    "gateway": GatewaySettings,
    "auth": AuthSettings,
    "tasks": TasksSettings,
    "worker": TasksSettings,
}
CONTAINER_ONLY = {"HEALTH_PORT"}


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_is_hardened_and_bounded(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory", "pids"}
    assert service["logging"]["options"]["max-size"]
    assert "privileged" not in service
    assert name == "postgres" or service["user"]
    if name not in {"migrate", "backup"}:
        assert service["restart"] == "unless-stopped"


def test_only_the_gateway_is_published() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["gateway"]
    assert SERVICES["gateway"]["ports"] == ["${GATEWAY_PUBLISH:-127.0.0.1:8080}:8080"]
    # The door, webhooks and notifications have somewhere to go; nobody else has.
    outside = [name for name, its in SERVICES.items() if "outside" in its["networks"]]
    assert outside == ["worker", "gateway", "alertmanager"]
    assert COMPOSE["networks"]["inside"] == {"internal": True}


@pytest.mark.parametrize("name", SETTINGS)
def test_every_variable_is_a_setting_and_every_required_one_given(name: str) -> None:
    given = set(SERVICES[name]["environment"]) - CONTAINER_ONLY
    known = {variable.name: variable for variable in variables(SETTINGS[name])}
    readable = set(known) | {f"{variable}_FILE" for variable, its in known.items() if its.secret}
    assert given <= readable
    required = {variable for variable, its in known.items() if its.default is REQUIRED}
    assert required <= {variable.removesuffix("_FILE") for variable in given}


@pytest.mark.parametrize("name", SETTINGS)
def test_production_starts_with_what_the_file_gives(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some settings are required in production only: the settings themselves know which."""
    make_secrets.make(tmp_path)
    for variable in variables(SETTINGS[name]):
        monkeypatch.delenv(variable.name, raising=False)
        monkeypatch.delenv(f"{variable.name}_FILE", raising=False)
    for variable, value in SERVICES[name]["environment"].items():
        plain = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", str(value))
        plain = plain.replace("/run/secrets/", f"{tmp_path}/secrets/")
        monkeypatch.setenv(variable, plain)
    settings = load(SETTINGS[name])
    assert settings.environment == "production"
    for secret in SERVICES[name]["secrets"]:
        assert f"/run/secrets/{secret}" in SERVICES[name]["environment"].values()


def test_the_health_check_asks_the_ops_port_of_the_process() -> None:
    for name, settings in SETTINGS.items():
        defaults = {variable.name: variable.default for variable in variables(settings)}
        variable = "TASKS_WORKER_OPS_PORT" if name == "worker" else f"{name.upper()}_OPS_PORT"
        assert SERVICES[name]["environment"]["HEALTH_PORT"] == str(defaults[variable])


def test_files_and_secrets_are_there(tmp_path: Path) -> None:
    made = {Path(name).name for name in make_secrets.make(tmp_path)} - {".env"}
    assert {Path(its["file"]).name for its in COMPOSE["secrets"].values()} == made
    for service in SERVICES.values():
        assert set(service.get("secrets", [])) <= set(COMPOSE["secrets"])
        for value in service.get("environment", {}).values():
            if str(value).startswith("/run/secrets/"):
                assert value.rpartition("/")[2] in service["secrets"]
        for volume in service.get("volumes", []):
            if volume.startswith("./"):
                assert (DEPLOY / volume.split(":")[0]).exists()
    ignored = (DEPLOY.parent / ".gitignore").read_text().split()
    assert {"deploy/.env", "deploy/secrets/", "backups/"} <= set(ignored)


def test_the_grace_period_covers_drain_and_shutdown() -> None:
    for name in SETTINGS:
        given = SERVICES[name]["environment"]
        total = float(given["DRAIN_SECONDS"]) + float(given["SHUTDOWN_SECONDS"])
        assert total < float(SERVICES[name]["stop_grace_period"].removesuffix("s"))


def test_compose_takes_the_file() -> None:
    program = need("docker")
    if subprocess.run([program, "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("docker is installed without its compose plugin")
    command = [program, "compose", "--file", str(DEPLOY / "compose.yaml"), "config", "--quiet"]
    environment = {**os.environ, "COMPOSE_DISABLE_ENV_FILE": "1"}
    environment.pop("POSTGRES_PASSWORD", None)
    without = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert without.returncode != 0
    assert "run `make secrets` first" in without.stderr
    environment["POSTGRES_PASSWORD"] = "given"
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_half_a_pair_of_secrets_is_refused(tmp_path: Path) -> None:
    make_secrets.make(tmp_path)
    (tmp_path / "secrets" / "auth_database_url").unlink()
    with pytest.raises(SystemExit, match="belong together"):
        make_secrets.make(tmp_path)


def test_secrets_are_made_once_and_kept(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "deploy.make_secrets", str(tmp_path)]
    first = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    second = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert first.startswith("made in ")
    assert second.endswith("all secrets are there\n")
    assert before == after
    (tmp_path / "secrets" / "grafana_password").unlink()
    assert make_secrets.make(tmp_path) == ["secrets/grafana_password"]


def test_nobody_else_can_reach_the_secrets(tmp_path: Path) -> None:
    make_secrets.make(tmp_path)
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600
    password = (tmp_path / "secrets" / "auth_database_password").read_text().strip()
    assert len(password) >= 32
    assert password in (tmp_path / "secrets" / "auth_database_url").read_text()
    assert len({path.read_text() for path in (tmp_path / "secrets").iterdir()}) == 11


def test_the_image_holds_only_what_runs() -> None:
    lines = (DEPLOY / "Dockerfile").read_text()
    assert "# syntax" not in lines
    assert "apt-get" not in lines
    assert "--require-hashes" in lines
    assert "USER 10001:10001" in lines
    kept = (DEPLOY / "Dockerfile.dockerignore").read_text().split("\n")
    assert kept[1] == "*"
    assert [line for line in kept if line.startswith("!")] == [
        "!shared",
        "!services",
        "!deploy/gateway.toml",
        "!deploy/requirements/base.txt",
    ]
