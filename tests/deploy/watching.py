"""A real Prometheus and a real Alertmanager on the shipped files, with short intervals."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.conftest import DEPLOY, JOBS, need
from tests.e2e.conftest import System
from tests.ports import free_port

PATIENCE_SECONDS = 60


@dataclass
class Watch:
    """The addresses of both, and the notifications that were delivered."""

    prometheus: str
    notifications: list[dict[str, Any]] = field(default_factory=list)

    def query(self, path: str, **parameters: str) -> Any:
        """`data` of an answer of Prometheus' API; a refused query fails the test."""
        query = urllib.parse.urlencode(parameters)
        try:
            with urllib.request.urlopen(f"{self.prometheus}{path}?{query}", timeout=10) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(f"{parameters}: {error.read().decode()}") from error

    def is_up(self, job: str) -> bool:
        result = self.query("/api/v1/query", query=f'up{{job="{job}"}} == 1')["result"]
        return len(result) == 1

    def has_said(self, alert: str, status: str) -> bool:
        """Whether a notification about `alert` came with this status."""
        return any(
            each["labels"]["alertname"] == alert and each["status"] == status
            for notification in list(self.notifications)
            for each in notification["alerts"]
        )


def wait_for(
    what: Callable[[], bool], reason: str, state: Callable[[], object] = lambda: None
) -> None:
    """Waits until `what` holds; a failure says the reason, and what `state` tells of it."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not what():
        assert time.monotonic() < deadline, f"never: {reason}; {state()}"
        time.sleep(0.2)


@contextlib.contextmanager
def watching(system: System, folder: Path) -> Iterator[Watch]:
    """Scrapes and watches `system` while the block runs."""
    prometheus, alertmanager = need("prometheus"), need("prometheus-alertmanager", "alertmanager")
    watch = Watch(f"http://127.0.0.1:{free_port()}")
    alerts = f"127.0.0.1:{free_port()}"
    with receiver(watch.notifications.append) as url, contextlib.ExitStack() as stack:
        _write_files(folder, system, alerts, url)
        for name, command in {
            "alertmanager": [
                alertmanager,
                f"--config.file={folder}/alertmanager.yml",
                f"--storage.path={folder}/alertmanager",
                f"--web.listen-address={alerts}",
                "--cluster.listen-address=",
            ],
            "prometheus": [
                prometheus,
                f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/prometheus",
                f"--web.listen-address={watch.prometheus.removeprefix('http://')}",
            ],
        }.items():
            stack.enter_context(_process(command, folder / f"{name}.log"))
        wait_for(
            lambda: _is_ready(watch.prometheus),
            "Prometheus is ready",
            (folder / "prometheus.log").read_text,
        )
        yield watch


def _write_files(folder: Path, system: System, alerts: str, url: str) -> None:
    """The shipped files, with this machine's targets and seconds instead of minutes."""
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    quick = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    config["global"] = quick
    config["alerting"]["alertmanagers"] = [{"static_configs": [{"targets": [alerts]}]}]
    config["scrape_configs"] = [
        {"job_name": job, "static_configs": [{"targets": [system.address(port).split("//")[1]]}]}
        for job, port in JOBS.items()
    ]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    (folder / "rules").mkdir()
    for path in (DEPLOY / "prometheus" / "rules").glob("*.yml"):
        text = re.sub(r"^( +for: ).*$", r"\g<1>1s", path.read_text(), flags=re.MULTILINE)
        (folder / "rules" / path.name).write_text(text)
    routes = (DEPLOY / "alertmanager" / "alertmanager.yml").read_text()
    routes = re.sub(r"url_file: \S+", f"url: {url}", routes)
    routes = re.sub(r"group_wait: \S+", "group_wait: 100ms", routes)
    routes = re.sub(r"group_interval: \S+", "group_interval: 1s", routes)
    (folder / "alertmanager.yml").write_text(routes)


@contextlib.contextmanager
def _process(command: list[str], log: Path) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


@contextlib.contextmanager
def receiver(take: Callable[[dict[str, Any]], object]) -> Iterator[str]:
    """The address of somebody who is told by POST; `take` gets each decoded body.

    The answer is 200, or the status that the path names: `…/500`.
    """

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            take(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(int(self.path.strip("/") or 200))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _is_ready(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/-/ready", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
