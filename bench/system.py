"""The whole system, started as `make run` starts it, with a user and some tasks in it."""

import contextlib
import http.client
import json
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench.doors import LIMITS
from bench.processes import NotMeasured, await_status, python, started
from bench.walks import OWNERS, TASKS_EACH, Owner, task, walks
from bench.wire import Request
from deploy.local.plan import PORTS

TASKS = 200
_BULK = 50
_START_SECONDS = 90.0
_JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class System:
    """A running system; `pids` by process name, `requests` by what they do.

    `cases` are those and the ones that differ from request to request.
    """

    data: Path
    url: str
    pids: dict[str, int]
    requests: dict[str, Request]

    @cached_property
    def cases(self) -> dict[str, Sequence[Request]]:
        """What is measured, by what it does; makes the tasks that it is about."""
        api = f"{self.url}/api/v2"
        owners = [_owner(api) for _ in range(OWNERS)]
        return {
            **{case: [request] for case, request in self.requests.items()},
            **walks(f"{api}/tasks", owners),
        }


@contextlib.contextmanager
def running_system(
    folder: Path, cores: frozenset[int], settings: Mapping[str, str] = {}
) -> Iterator[System]:
    """Gateway, auth, tasks, their worker and PostgreSQL on `cores`, data in `folder`.

    `settings` are variables for all of them.
    """
    folder.mkdir()
    config = folder / "gateway.toml"
    config.write_text(LIMITS)
    environment = dict.fromkeys(PORTS, "0") | {
        "DATA_DIR": str(folder / "data"),
        "GATEWAY_CONFIG": str(config),
        **settings,
    }
    log = folder / "system.log"
    with started(python("deploy.local"), cores, log, environment):
        state = _await_state(folder / "data" / "run.json", log)
        url = str(state["url"])
        yield System(folder / "data", url, state["processes"], prepare(url))


def prepare(url: str) -> dict[str, Request]:
    """Registers a user, makes his tasks, and returns the requests that are measured."""
    api = f"{url}/api/v2"
    login, mine = _account(api)
    made = [call("POST", f"{api}/tasks", task(number), mine) for number in range(TASKS)]
    body = json.dumps(task(TASKS))
    return {
        "GET one": Request(f"{api}/tasks/{made[0]['id']}", headers=mine),
        "list of 20": Request(f"{api}/tasks?page_size=20", headers=mine),
        "create": Request(f"{api}/tasks", "POST", {**mine, **_JSON}, body),
        "login": Request(f"{api}/auth/login", "POST", _JSON, json.dumps(login)),
    }


def _account(api: str) -> tuple[dict[str, str], dict[str, str]]:
    """A new user: what he logs in with, and what his requests carry."""
    login = {
        "email": f"bench-{secrets.token_hex(6)}@example.com",
        "password": secrets.token_urlsafe(18),
    }
    made = call("POST", f"{api}/auth/register", {"name": "Bench", **login}, {})
    return login, {"Authorization": f"Bearer {made['access_token']}"}


def _owner(api: str) -> Owner:
    _, headers = _account(api)
    ids: list[str] = []
    while len(ids) < TASKS_EACH:
        tasks = [task(number) for number in range(len(ids), min(TASKS_EACH, len(ids) + _BULK))]
        made = call("POST", f"{api}/tasks/bulk", {"mode": "atomic", "tasks": tasks}, headers)
        ids += [one["task"]["id"] for one in made["results"]]
    return Owner(headers, ids)


def _await_state(path: Path, log: Path) -> dict[str, Any]:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, ValueError):
            state = json.loads(path.read_text())
            if state["ready"]:
                found: dict[str, Any] = state
                await_status(f"{state['url']}/api/versions", 200, log)
                return found
        time.sleep(0.1)
    raise NotMeasured(f"the system did not get ready:\n{log.read_text()[-2000:]}")


def call(method: str, url: str, body: object, headers: dict[str, str]) -> dict[str, Any]:
    """One JSON request that must succeed; the answer. Raises `NotMeasured`."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    try:
        connection.request(method, parts.path, json.dumps(body), {**_JSON, **headers})
        answer = connection.getresponse()
        text = answer.read()
    finally:
        connection.close()
    if answer.status not in (200, 201):
        raise NotMeasured(f"{method} {url} answered {answer.status}: {text[:500]!r}")
    found: dict[str, Any] = json.loads(text)
    return found
