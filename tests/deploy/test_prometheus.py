"""Rules, alerts and dashboards: every metric in them exists, every alert has its page."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.conftest import DEPLOY, JOBS, need
from tests.deploy.promql import jobs_of, metric_names

PROMETHEUS = DEPLOY / "prometheus"
RULES = sorted((PROMETHEUS / "rules").glob("*.yml"))
DASHBOARDS = sorted((DEPLOY / "grafana" / "dashboards").glob("*.json"))
RUNBOOKS = DEPLOY.parent / "docs" / "runbooks"
SECTIONS = ["## What it means", "## What to look at", "## What to do"]


def rules() -> Iterator[dict[str, Any]]:
    for path in RULES:
        for group in yaml.safe_load(path.read_text())["groups"]:
            yield from group["rules"]


def alerts() -> list[dict[str, Any]]:
    return [rule for rule in rules() if "alert" in rule]


def panels(dashboard: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All panels; rows nest theirs."""
    for panel in dashboard["panels"]:
        yield panel
        yield from panels({"panels": panel.get("panels", [])})


def promtool(*words: str) -> None:
    done = subprocess.run(
        [need("promtool"), *words],
        cwd=PROMETHEUS,
        capture_output=True,
        text=True,
        check=False,
        # It looks for garbage all the time, and has room.
        env={"PATH": os.environ["PATH"], "GOGC": "400"},
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_takes_its_configuration() -> None:
    promtool("check", "config", "prometheus.yml")


def test_alertmanager_takes_its_configuration() -> None:
    path = DEPLOY / "alertmanager" / "alertmanager.yml"
    done = subprocess.run(
        [need("amtool"), "check-config", "/dev/stdin"],
        # Older releases know no url_file; what is checked is everything else.
        input=re.sub(r"url_file: \S+", "url: http://127.0.0.1:9/", path.read_text()),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_rule_does_what_its_test_says() -> None:
    tests = sorted(path.name for path in (PROMETHEUS / "tests").glob("*_test.yml"))
    promtool("test", "rules", *(f"tests/{name}" for name in tests))


def test_every_alert_is_seen_to_fire_and_to_keep_quiet() -> None:
    expected: dict[str, set[bool]] = {}
    for path in (PROMETHEUS / "tests").glob("*_test.yml"):
        for test in yaml.safe_load(path.read_text())["tests"]:
            for case in test.get("promql_expr_test", []):
                name = re.search(r'alertname="(\w+)"', case["expr"])
                assert name
                expected.setdefault(name[1], set()).add(bool(case["exp_samples"]))
    assert expected == {alert["alert"]: {True, False} for alert in alerts()}


def test_a_rule_test_can_fail(tmp_path: Path) -> None:
    """A rule that never fires is found: the tests above do look."""
    rules = (PROMETHEUS / "rules" / "alerts.yml").read_text().replace("== 0", "== 7")
    (tmp_path / "alerts.yml").write_text(rules)
    document = yaml.safe_load((PROMETHEUS / "tests" / "alerts_test.yml").read_text())
    document["rule_files"] = ["alerts.yml"]
    document["tests"] = [test for test in document["tests"] if test["name"] == "TargetDown fires"]
    assert len(document["tests"]) == 1
    (tmp_path / "broken_test.yml").write_text(yaml.safe_dump(document))
    done = subprocess.run(
        [need("promtool"), "test", "rules", "broken_test.yml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "TargetDown" in done.stdout + done.stderr


def test_every_alert_says_what_a_person_needs() -> None:
    names = [alert["alert"] for alert in alerts()]
    assert len(names) == len(set(names))
    for alert in alerts():
        assert alert["labels"]["severity"] in {"page", "ticket"}
        assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}
        assert alert["annotations"]["runbook_url"] == f"docs/runbooks/{alert['alert']}.md"


def test_every_alert_has_a_page_and_every_page_an_alert() -> None:
    pages = {path.stem for path in RUNBOOKS.glob("*.md")} - {"README"}
    assert pages == {alert["alert"] for alert in alerts()}
    for name in pages:
        text = (RUNBOOKS / f"{name}.md").read_text()
        assert text.startswith(f"# {name}\n")
        assert [line for line in text.splitlines() if line.startswith("## ")] == SECTIONS


def test_rules_use_only_metrics_that_are_exported(exported: dict[str, set[str]]) -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    known = set().union(*exported.values(), recorded, {"up"})
    for rule in rules():
        assert metric_names(rule["expr"]) <= known, rule
        for metric, job in jobs_of(rule["expr"]):
            assert metric in exported[job] | {"up"}, rule


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_dashboards_use_only_metrics_that_are_exported(
    path: Path, exported: dict[str, set[str]]
) -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    known = set().union(*exported.values(), recorded, {"up"})
    for panel in panels(json.loads(path.read_text())):
        for target in panel.get("targets", []):
            assert metric_names(target["expr"]) <= known, target["expr"]
            for metric, job in jobs_of(target["expr"]):
                assert metric in exported[job] | recorded | {"up"}, target["expr"]


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_dashboards_are_well_laid_out(path: Path) -> None:
    dashboard = json.loads(path.read_text())
    provisioned = yaml.safe_load(
        (DEPLOY / "grafana/provisioning/datasources/prometheus.yaml").read_text()
    )["datasources"][0]["uid"]
    ids: set[int] = set()
    taken: set[tuple[int, int]] = set()
    for panel in panels(dashboard):
        assert panel["id"] not in ids
        ids.add(panel["id"])
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
        for source in [panel, *panel.get("targets", [])]:
            if "datasource" in source:
                assert source["datasource"] == {"type": "prometheus", "uid": provisioned}
        if panel["type"] != "row":
            assert panel["fieldConfig"]["defaults"]["unit"]
            assert panel["targets"]


def test_dashboards_have_names_of_their_own() -> None:
    boards = [json.loads(path.read_text()) for path in DASHBOARDS]
    assert len({board["uid"] for board in boards}) == len(boards) == 5
    assert all(board["editable"] is False for board in boards)


def test_the_same_jobs_are_scraped_by_compose_and_by_the_cluster() -> None:
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    jobs = {job["job_name"]: job for job in config["scrape_configs"]}
    assert set(JOBS) <= set(jobs)
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    for job in JOBS:
        (found,) = jobs[job]["dns_sd_configs"]
        (name,) = found["names"]
        port = int(services[name]["environment"]["HEALTH_PORT"])
        assert found["port"] == port


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ('sum by (job, route) (rate(a_total{job="x", route!~".*/(b|c)"}[5m]))', {"a_total"}),
        ("a:b:rate5m > 14.4 * 0.001 and on () (c > 100)", {"a:b:rate5m", "c"}),
        (
            '1 - sum(rate(a_bucket{le="0.5"}[$__rate_interval])) / (b or vector(0))',
            {"a_bucket", "b"},
        ),
        ("histogram_quantile(0.99, sum by (le) (rate(a_bucket[5m])))", {"a_bucket"}),
    ],
)
def test_names_are_found_in_expressions(expression: str, names: set[str]) -> None:
    assert metric_names(expression) == names
