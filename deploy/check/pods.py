"""make pods: the pods of an overlay, run by a container engine as their manifests describe them.

It stands in for a cluster: each container gets its own user, read-only root, dropped capabilities,
memory limit, environment, mounted ConfigMaps and Secrets, and the name of its Service; then every
probe is asked. It needs kubectl, PyYAML and a Docker engine, and removes all that it made.
"""

from __future__ import annotations

import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from deploy.make_secrets import encryption_key

DEPLOY = Path(__file__).resolve().parents[1]
IMAGE = "tasklane:local"
PREFIX = f"tasklane-pods-{secrets.token_hex(3)}"
PATIENCE_SECONDS = 300
STORES = {
    "postgres": "postgres:17-alpine",
    "redis": "redis:7-alpine",
}
PASSWORDS = ("auth", "tasks", "postgres", "redis")
# Each needs those before it.
STARTED = ("auth", "tasks", "tasks-worker", "gateway")
ASK = (
    "import http.client, sys; c = http.client.HTTPConnection('127.0.0.1', int(sys.argv[1]), "
    "timeout=4); c.request('GET', sys.argv[2]); sys.exit(c.getresponse().status != 200)"
)


def docker(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=check)


class Cluster:
    """What was rendered, and where its files lie on this machine."""

    def __init__(self, overlay: str, folder: Path, values: dict[str, dict[str, str]]) -> None:
        rendered = subprocess.run(
            ["kubectl", "kustomize", str(DEPLOY / "k8s" / "overlays" / overlay)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        self.objects = [found for found in yaml.safe_load_all(rendered) if found]
        self._maps = {each["metadata"]["name"]: each["data"] for each in self.of_kind("ConfigMap")}
        self._folder = folder
        self._values = values

    def of_kind(self, kind: str) -> Iterator[dict[str, Any]]:
        return (found for found in self.objects if found["kind"] == kind)

    def options(self, name: str, spec: dict[str, Any]) -> list[str]:
        """`docker run` options for the only container of a pod."""
        (container,) = spec["containers"]
        inside, security = spec["securityContext"], container["securityContext"]
        options = ["--network", PREFIX, "--network-alias", name, "--pull", "never"]
        options += ["--user", f"{inside['runAsUser']}:{inside['runAsGroup']}"]
        options += ["--read-only"] if security["readOnlyRootFilesystem"] else []
        options += [f"--cap-drop={each}" for each in security["capabilities"]["drop"]]
        options += ["--security-opt", "no-new-privileges"]
        options += ["--memory", container["resources"]["limits"]["memory"].replace("i", "").lower()]
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        for mount in container["volumeMounts"]:
            options += self._mount(mount, volumes[mount["name"]], inside["runAsUser"])
        given: dict[str, str] = {}
        for source in container.get("envFrom", []):
            given |= self._maps[source["configMapRef"]["name"]]
        given |= {entry["name"]: entry["value"] for entry in container.get("env", [])}
        for variable, value in given.items():
            options += ["--env", f"{variable}={value}"]
        return options

    def _mount(self, mount: dict[str, Any], volume: dict[str, Any], user: int) -> list[str]:
        target = mount["mountPath"]
        if "configMap" in volume:
            name = volume["configMap"]["name"]
            return self._files(target, f"map-{name}", self._maps[name])
        if "secret" in volume:
            name = volume["secret"]["secretName"]
            return self._files(target, f"secret-{name}", self._values[name])
        return ["--tmpfs", f"{target}:mode=1777,uid={user}"]

    def _files(self, target: str, name: str, contents: dict[str, str]) -> list[str]:
        folder = self._folder / name
        folder.mkdir(mode=0o755, exist_ok=True)
        for file, content in contents.items():
            (folder / file).write_text(content)
        return ["--volume", f"{folder}:{target}:ro"]


def secret_files(passwords: dict[str, str]) -> dict[str, dict[str, str]]:
    """The Secrets of the manifests by name, each with its keys."""
    url = "postgresql://{0}:{1}@postgres:5432/{0}"
    return {
        "tasklane-auth-database": {"url": url.format("auth", passwords["auth"])},
        "tasklane-tasks-database": {"url": url.format("tasks", passwords["tasks"])},
        "tasklane-redis": {"url": f"redis://:{passwords['redis']}@redis:6379/0"},
        "tasklane-service-credential": {"key": secrets.token_hex(32)},
        "tasklane-auth-encryption": {"keys": encryption_key()},
        "tasklane-tasks-encryption": {"keys": encryption_key()},
    }


def start_stores(folder: Path) -> dict[str, dict[str, str]]:
    """PostgreSQL and Redis with the secrets that point at them."""
    passwords = {name: secrets.token_urlsafe(24) for name in PASSWORDS}
    for name in ("auth", "tasks"):
        (folder / f"{name}_database_password").write_text(passwords[name])
    roles = DEPLOY / "postgres" / "roles.sql"
    options = ["--network", PREFIX, "--detach"]
    docker(
        *("run", "--name", f"{PREFIX}-postgres", "--network-alias", "postgres", *options),
        *("--env", f"POSTGRES_PASSWORD={passwords['postgres']}", "--volume"),
        *(f"{roles}:/docker-entrypoint-initdb.d/roles.sql:ro", "--volume"),
        *(f"{folder}:/run/secrets:ro", STORES["postgres"]),
    )
    docker(
        *("run", "--name", f"{PREFIX}-redis", "--network-alias", "redis", *options),
        *(STORES["redis"], "redis-server", "--requirepass", passwords["redis"]),
    )
    wait_for(f"{PREFIX}-postgres", ["pg_isready", "-q", "-h", "127.0.0.1"])
    return secret_files(passwords)


def wait_for(container: str, command: list[str]) -> None:
    """Runs the command inside until it succeeds; SystemExit with the log when it never does."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while docker("exec", container, *command, check=False).returncode:
        if time.monotonic() > deadline:
            seen = docker("logs", "--tail", "20", container, check=False)
            raise SystemExit(f"{container}: never {command[-1]}\n{seen.stdout}{seen.stderr}")
        time.sleep(0.5)


def run_pods(overlay: str, folder: Path) -> None:
    values = start_stores(folder)
    cluster = Cluster(overlay, folder, values)
    for job in cluster.of_kind("Job"):
        run_once(cluster, job["metadata"]["name"], job["spec"]["template"]["spec"], IMAGE)
    deployments = {each["metadata"]["name"]: each for each in cluster.of_kind("Deployment")}
    for name in STARTED:
        spec = deployments[name]["spec"]["template"]["spec"]
        (container,) = spec["containers"]
        named = f"{PREFIX}-{name}"
        options = cluster.options(name, spec)
        docker("run", "--detach", "--name", named, *options, IMAGE, *container["command"])
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
            asked = container[kind]["httpGet"]
            port = str(ports[asked["port"]])
            wait_for(named, ["python", "-ISc", ASK, port, asked["path"]])
            print(f"{name}: {kind} {asked['path']} on {port} answers", flush=True)
    for cron in cluster.of_kind("CronJob"):
        spec = cron["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        run_once(cluster, cron["metadata"]["name"], spec, spec["containers"][0]["image"])


def run_once(cluster: Cluster, name: str, spec: dict[str, Any], image: str) -> None:
    command = spec["containers"][0]["command"]
    options = ["--rm", "--entrypoint", command[0], *cluster.options(name, spec)]
    done = docker("run", *options, image, *command[1:], check=False)
    if done.returncode:
        raise SystemExit(f"{name}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    print(f"{name}: done {done.stdout.strip()}", flush=True)


def main() -> int:
    overlay = sys.argv[1] if len(sys.argv) > 1 else "prod"
    docker("network", "create", PREFIX)
    try:
        with TemporaryDirectory(prefix="tasklane-pods-") as folder:
            # The containers run as other users than the one who made it.
            Path(folder).chmod(0o755)
            run_pods(overlay, Path(folder))
    finally:
        left = docker("ps", "--all", "--quiet", "--filter", f"name={PREFIX}").stdout.split()
        if left:
            docker("rm", "--force", "--volumes", *left)
        docker("network", "rm", PREFIX)
    return 0


if __name__ == "__main__":
    sys.exit(main())
