"""Where the metrics of the system are, and a few of them."""

import http.client
import json
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from deploy.local.demo_client import DemoFailed
from deploy.local.demo_screen import Screen
from deploy.local.plan import PORTS, data_folder

_TIMEOUT_SECONDS = 5.0
_LARGEST_ANSWER = 8 * 1024 * 1024
_OPS_PORTS = {
    name.removesuffix("_OPS_PORT").lower().replace("_", "-"): name
    for name in PORTS
    if name.endswith("_OPS_PORT")
}
_TOLD = "limiter_decisions"


def system_url(environment: Mapping[str, str]) -> str:
    """The gateway of this machine: as the variables say, else of the run in the data folder."""
    if environment.get("GATEWAY_PORT"):
        return f"http://127.0.0.1:{environment['GATEWAY_PORT']}"
    running = _running(environment)
    return str(running["url"]) if running else f"http://127.0.0.1:{PORTS['GATEWAY_PORT']}"


def show_metrics(screen: Screen, url: str, environment: Mapping[str, str]) -> None:
    """Names the metrics page of every process, and shows what the limiter counted.

    Raises `DemoFailed` when a process of this machine's run does not give its metrics.
    """
    screen.step("Where the metrics are")
    running = _running(environment)
    if running is None or running["url"] != url:
        screen.say("GET /metrics on the ops port of each process, on the machine where it runs:")
        for process, variable in _OPS_PORTS.items():
            screen.say(f"{process:<12}  port {PORTS[variable]}, or what {variable} says")
        return
    ports = running["ports"]
    assert isinstance(ports, dict)
    pages = {
        process: f"http://{urlsplit(url).hostname}:{ports[variable]}/metrics"
        for process, variable in _OPS_PORTS.items()
        if variable in ports
    }
    texts = {process: _read(page) for process, page in pages.items()}
    screen.table(
        ["process", "metrics", "lines"],
        [[process, page, texts[process].count("\n")] for process, page in pages.items()],
        wide=1,
    )
    for line in texts["gateway"].splitlines():
        if _TOLD in line and "_created" not in line and not line.startswith("#"):
            screen.say(line)


def _running(environment: Mapping[str, str]) -> dict[str, object] | None:
    """What a run in the data folder says about itself; None when there is none."""
    try:
        found = json.loads(Path(data_folder(environment), "run.json").read_text())
    except (OSError, ValueError):
        return None
    known = isinstance(found, dict) and "url" in found and "ports" in found
    return found if known else None


def _read(page: str) -> str:
    parts = urlsplit(page)
    connection = http.client.HTTPConnection(
        parts.hostname or "", parts.port, timeout=_TIMEOUT_SECONDS
    )
    try:
        connection.request("GET", parts.path)
        answer = connection.getresponse()
        body = answer.read(_LARGEST_ANSWER).decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        raise DemoFailed(f"{page}: {error}") from None
    finally:
        connection.close()
    if answer.status != 200:
        raise DemoFailed(f"{page} answered {answer.status}")
    return body
