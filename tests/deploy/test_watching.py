"""Prometheus scrapes every process, dashboards show a load, an alert is delivered and withdrawn."""

from __future__ import annotations

import json
import math
import os
import signal
import time
from functools import partial
from pathlib import Path
from typing import Any

from tests.deploy.conftest import JOBS, Watched
from tests.deploy.situations import (
    PASSWORD,
    a_browser_is_refused_and_served,
    a_limit_is_met,
    a_refresh_token_comes_back,
    an_account_is_locked,
    an_address_sprays,
    ask,
    log_in_wrongly,
    receivers_fail,
    register,
    writes_that_nobody_answers,
)
from tests.deploy.test_prometheus import DASHBOARDS, panels
from tests.deploy.watching import Watch, receiver, wait_for, watching
from tests.e2e.conftest import System

# What a panel of things that seldom happen ends in, so that a quiet system shows 0.
QUIET = " or vector(0)"
VARIABLES = {"$__rate_interval": "1m", "$__interval": "15s", "$__range": "1h"}
OPEN_BREAKERS = ("Open breakers", "max by (upstream) (upstream_breaker_open)")
PERIOD_SECONDS = 300  # longer than all of it takes
# Panels that the bad day must have raised, each with the labels of the series that it raised.
RISES = {
    "Addresses locked": {""},
    "Attempts by outcome": {"delivered", "retried", "dead"},
    "Decisions by policy": {"refused"},
    "Disabled within the hour": {""},
    "Judged without Redis": {"local"},
    "Limiter without Redis": {""},
    "Logins refused for spraying": {"address"},
    "Open breakers": {"tasks"},
    "Refresh tokens that came back": {""},
    "Refused for their origin or CSRF token": {"origin", "token"},
}


def load_a_little(system: System, turn: int, hook: str) -> None:
    """Everything that a dashboard shows, once; events are told to `hook`."""
    email = f"turn{turn}@example.com"
    tokens = register(system, email)
    token = tokens["access_token"]
    assert log_in_wrongly(system, email) == 401
    refreshed = {"refresh_token": tokens["refresh_token"]}
    status, tokens = ask(system, "POST", "/v2/auth/refresh", refreshed)
    assert status == 200
    assert ask(system, "GET", "/v1/tasks")[0] == 401
    assert ask(system, "POST", "/v2/webhooks", {"url": hook}, token=token)[0] == 201
    assert ask(system, "GET", "/v2/webhooks", token=token)[0] == 200
    status, key = ask(system, "POST", "/v2/auth/api-keys", {"name": "watch"}, token=token)
    assert status == 201
    assert ask(system, "GET", "/v2/tasks", headers={"X-API-Key": key["key"]})[0] == 200
    status, task = ask(system, "POST", "/v2/tasks", {"title": "Write"}, token=token)
    assert status == 201
    path = f"/v2/tasks/{task['id']}"
    assert ask(system, "GET", path, token=token)[0] == 200
    assert ask(system, "PATCH", path, {"completed": True}, token=token)[0] == 200
    assert ask(system, "GET", "/v1/tasks", token=token)[0] == 200
    lines = b'{"external_id": "a", "title": "Milk"}\n'
    media = {"Content-Type": "application/x-ndjson"}
    path_in = "/v2/tasks/import?format=jsonl"
    assert ask(system, "POST", path_in, lines, token=token, headers=media)[0] == 200
    assert ask(system, "GET", "/v2/tasks/export?format=jsonl", token=token)[0] == 200
    assert ask(system, "DELETE", path, token=token)[0] == 204
    assert ask(system, "GET", "/v2/tasks/changes", token=token)[0] == 200
    changed = {"current_password": PASSWORD, "new_password": f"{PASSWORD} by the sea"}
    assert ask(system, "POST", "/v2/auth/password", changed, token=token)[0] == 204
    assert ask(system, "POST", "/v2/auth/logout", {}, token=token)[0] == 204


def have_a_bad_day(watched: Watched, hook: str) -> str:
    """Everything that a dashboard shows when something is wrong. The token of who had it."""
    system = watched.system
    tokens = register(system, "bad-day@example.com")
    token = str(tokens["access_token"])
    receivers_fail(system, token, hook)
    a_limit_is_met(system, token)
    a_browser_is_refused_and_served(system, "bad-day@example.com")
    a_refresh_token_comes_back(system, register(system, "copied@example.com"))
    an_account_is_locked(system, "copied@example.com")
    an_address_sprays(system)
    watched.redis.send_signal(signal.SIGSTOP)
    try:
        assert ask(system, "GET", "/v2/tasks", token=token)[0] == 200
        # The limiter is without Redis until it is asked again, so a scrape sees it.
        time.sleep(1.5)
    finally:
        watched.redis.send_signal(signal.SIGCONT)
    return token


def test_a_running_system_is_watched(watched: Watched, tmp_path: Path) -> None:
    """One test, because the start of it all takes longer than what is looked at."""
    system = watched.system
    told: list[dict[str, Any]] = []
    with watching(system, tmp_path) as watch, receiver(told.append) as hook:
        for job in JOBS:
            wait_for(partial(watch.is_up, job), f"{job} is scraped")
        # Two loads with a scrape between them: a rate needs two samples.
        load_a_little(system, 1, hook)
        time.sleep(2.5)
        load_a_little(system, 2, hook)
        token = have_a_bad_day(watched, hook)
        wait_for(lambda: len(told) >= 8, "webhooks are delivered", lambda: told)
        wait_for(lambda: every_rule_is_healthy(watch), "all rules are healthy")
        an_alert_is_delivered_and_withdrawn(system, watch, token)
        every_panel_has_shown_something(watch)


def every_panel_has_shown_something(watch: Watch) -> None:
    boards = {path.stem: list(panels(json.loads(path.read_text()))) for path in DASHBOARDS}
    assert RISES.keys() <= {panel["title"] for board in boards.values() for panel in board}
    missing: list[str] = []

    def all_filled() -> bool:
        missing[:] = [
            f"{name}: {panel['title']}: {target['expr']}"
            for name, board in boards.items()
            for panel in board
            for target in panel.get("targets", [])
            if not _shown(watch, panel["title"], target["expr"])
        ]
        return not missing

    wait_for(all_filled, "every panel has data", lambda: missing)


def every_rule_is_healthy(watch: Watch) -> bool:
    groups = watch.query("/api/v1/rules")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) > 40
    return all(rule["health"] == "ok" for rule in rules)


def an_alert_is_delivered_and_withdrawn(system: System, watch: Watch, token: str) -> None:
    held = system.pids["tasks"]
    os.kill(held, signal.SIGSTOP)
    try:
        with writes_that_nobody_answers(system, token):
            wait_for(lambda: watch.has_said("ServiceMissing", "firing"), "ServiceMissing fires")
        wait_for(partial(_shown, watch, *OPEN_BREAKERS), "the breaker is seen to be open")
    finally:
        os.kill(held, signal.SIGCONT)
    wait_for(lambda: watch.has_said("ServiceMissing", "resolved"), "ServiceMissing is resolved")
    (pages,) = {
        notification["receiver"]
        for notification in watch.notifications
        if notification["groupLabels"]["alertname"] == "ServiceMissing"
    }
    assert pages == "pager"


def _shown(watch: Watch, title: str, expression: str) -> bool:
    """Whether a panel has a number to draw, and those of its numbers that must have risen."""
    expression = expression.removesuffix(QUIET)
    for variable, value in VARIABLES.items():
        expression = expression.replace(variable, value)
    now = time.time()
    period = {"start": str(now - PERIOD_SECONDS), "end": str(now), "step": "1"}
    found = watch.query("/api/v1/query_range", query=expression, **period)["result"]
    drawn, risen = False, set[str]()
    for series in found:
        numbers = [float(text) for _, text in series["values"]]
        drawn = drawn or any(map(math.isfinite, numbers))
        if any(number > 0 for number in numbers):
            # A sum over everything has no label; its name is the empty one.
            risen.update({""}, series["metric"].values())
    return drawn and RISES.get(title, set()) <= risen
