"""Prometheus scrapes every process, dashboards show a load, an alert is delivered and withdrawn."""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.error
import urllib.request
from functools import partial
from pathlib import Path
from typing import Any

from tests.deploy.conftest import JOBS
from tests.deploy.test_prometheus import DASHBOARDS, panels
from tests.deploy.watching import Watch, receiver, wait_for, watching
from tests.e2e.conftest import System

VARIABLES = {"$__rate_interval": "1m", "$__interval": "15s", "$__range": "1h"}
PASSWORD = "a quiet morning walk"


def ask(
    system: System,
    method: str,
    path: str,
    body: Any = None,
    *,
    token: str = "",
    key: str = "",
    media: str = "application/json",
) -> tuple[int, Any]:
    """Status and decoded JSON of one request through the gateway."""
    data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{system.url}/api{path}", data, method=method)
    request.add_header("Content-Type", media)
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    if key:
        request.add_header("X-API-Key", key)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            is_json = answer.headers.get_content_type() == "application/json"
            return answer.status, json.load(answer) if is_json else None
    except urllib.error.HTTPError as error:
        with error:
            return error.code, None


def load_a_little(system: System, turn: int, hook: str) -> None:
    """Everything that a dashboard shows, once; events are told to `hook`."""
    email = f"turn{turn}@example.com"
    account = {"name": "Ada", "email": email, "password": PASSWORD}
    status, tokens = ask(system, "POST", "/v2/auth/register", account)
    assert status == 201
    token = tokens["access_token"]
    assert (
        ask(system, "POST", "/v1/auth/login", {"email": email, "password": "wrong " * 3})[0] == 401
    )
    refreshed = {"refresh_token": tokens["refresh_token"]}
    status, tokens = ask(system, "POST", "/v2/auth/refresh", refreshed)
    assert status == 200
    assert ask(system, "GET", "/v1/tasks")[0] == 401
    assert ask(system, "POST", "/v2/webhooks", {"url": hook}, token=token)[0] == 201
    status, key = ask(system, "POST", "/v2/auth/api-keys", {"name": "watch"}, token=token)
    assert status == 201
    assert ask(system, "GET", "/v2/tasks", key=key["key"])[0] == 200
    status, task = ask(system, "POST", "/v2/tasks", {"title": "Write"}, token=token)
    assert status == 201
    path = f"/v2/tasks/{task['id']}"
    assert ask(system, "GET", path, token=token)[0] == 200
    assert ask(system, "PATCH", path, {"completed": True}, token=token)[0] == 200
    assert ask(system, "GET", "/v1/tasks", token=token)[0] == 200
    lines = b'{"external_id": "a", "title": "Milk"}\n'
    media = "application/x-ndjson"
    status, _ = ask(
        system, "POST", "/v2/tasks/import?format=jsonl", lines, token=token, media=media
    )
    assert status == 200
    assert ask(system, "GET", "/v2/tasks/export?format=jsonl", token=token)[0] == 200
    assert ask(system, "DELETE", path, token=token)[0] == 204
    assert ask(system, "GET", "/v2/tasks/changes", token=token)[0] == 200
    changed = {"current_password": PASSWORD, "new_password": f"{PASSWORD} by the sea"}
    assert ask(system, "POST", "/v2/auth/password", changed, token=token)[0] == 204
    assert ask(system, "POST", "/v2/auth/logout", {}, token=token)[0] == 204


def test_a_running_system_is_watched(watched: System, tmp_path: Path) -> None:
    """One test, because the start of it all takes longer than what is looked at."""
    with watching(watched, tmp_path) as watch:
        for job in JOBS:
            wait_for(partial(watch.is_up, job), f"{job} is scraped")
        every_panel_shows_something_after_a_load(watched, watch)
        wait_for(lambda: every_rule_is_healthy(watch), "all rules are healthy")
        an_alert_is_delivered_and_withdrawn(watched, watch)


def every_panel_shows_something_after_a_load(system: System, watch: Watch) -> None:
    told: list[dict[str, Any]] = []
    with receiver(told.append) as hook:
        # Two loads with a scrape between them: a rate needs two samples.
        load_a_little(system, 1, hook)
        time.sleep(2.5)
        load_a_little(system, 2, hook)
        wait_for(lambda: len(told) >= 8, "webhooks are delivered", lambda: told)
    empty: list[str] = []

    def all_filled() -> bool:
        empty[:] = [
            f"{path.stem}: {panel['title']}: {target['expr']}"
            for path in DASHBOARDS
            for panel in panels(json.loads(path.read_text()))
            for target in panel.get("targets", [])
            if not _has_data(watch, target["expr"])
        ]
        return not empty

    wait_for(all_filled, "every panel has data", lambda: empty)


def every_rule_is_healthy(watch: Watch) -> bool:
    groups = watch.query("/api/v1/rules")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) > 40
    return all(rule["health"] == "ok" for rule in rules)


def an_alert_is_delivered_and_withdrawn(system: System, watch: Watch) -> None:
    held = system.pids["tasks"]
    os.kill(held, signal.SIGSTOP)
    try:
        wait_for(lambda: watch.has_said("ServiceMissing", "firing"), "ServiceMissing fires")
    finally:
        os.kill(held, signal.SIGCONT)
    wait_for(lambda: watch.has_said("ServiceMissing", "resolved"), "ServiceMissing is resolved")
    (pages,) = {
        notification["receiver"]
        for notification in watch.notifications
        if notification["groupLabels"]["alertname"] == "ServiceMissing"
    }
    assert pages == "pager"


def _has_data(watch: Watch, expression: str) -> bool:
    for variable, value in VARIABLES.items():
        expression = expression.replace(variable, value)
    now = time.time()
    found = watch.query(
        "/api/v1/query_range", query=expression, start=str(now - 60), end=str(now), step="5"
    )
    return bool(found["result"])
