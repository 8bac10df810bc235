"""What the cluster watches, scales by and configures fits the services that it runs."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import yaml

from deploy import prometheus_rule
from services.gateway.config_file import read_config
from tests.deploy.conftest import DEPLOY
from tests.deploy.manifests import Object, environment, name_of, of_kind, pods


def test_autoscalers_ask_for_metrics_that_the_adapter_serves(
    overlay: list[Object], exported: dict[str, set[str]]
) -> None:
    text = (DEPLOY / "k8s/components/autoscaling/adapter-rules.yaml").read_text()
    rules = {
        rule["name"]["as"]: rule["seriesQuery"].partition("{")[0]
        for rule in yaml.safe_load(text)["rules"]["custom"]
    }
    for found in of_kind(overlay, "HorizontalPodAutoscaler"):
        kinds = [metric["type"] for metric in found["spec"]["metrics"]]
        assert kinds == ["Pods", "Resource"]
        metric = found["spec"]["metrics"][0]["pods"]["metric"]["name"]
        assert rules[metric] in exported[name_of(found)]


def test_monitors_watch_ports_that_services_have(overlay: list[Object]) -> None:
    labels = {name_of(found): found["metadata"]["labels"] for found in of_kind(overlay, "Service")}
    for monitor in of_kind(overlay, "ServiceMonitor"):
        (expression,) = monitor["spec"]["selector"]["matchExpressions"]
        assert set(expression["values"]) == set(labels)
        assert all(its[expression["key"]] == name for name, its in labels.items())
        for endpoint in monitor["spec"]["endpoints"]:
            for service in of_kind(overlay, "Service"):
                assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}


def test_the_rules_of_the_cluster_are_those_of_the_files(overlay: list[Object]) -> None:
    assert prometheus_rule.MANIFEST.read_text() == prometheus_rule.manifest(), "make manifests"
    groups: list[Object] = []
    for path in sorted((DEPLOY / "prometheus" / "rules").glob("*.yml")):
        groups += yaml.safe_load(path.read_text())["groups"]
    for found in of_kind(overlay, "PrometheusRule"):
        assert found["spec"]["groups"] == groups


def test_the_gateway_takes_the_file_of_the_cluster(overlay: list[Object], tmp_path: Path) -> None:
    maps = {name_of(found): found["data"] for found in of_kind(overlay, "ConfigMap")}
    path = tmp_path / "gateway.toml"
    path.write_text(maps["gateway-config"]["gateway.toml"])
    urls = {
        name: (maps[next(key for key in maps if key.startswith("gateway-settings"))][variable],)
        for name, variable in (("auth", "AUTH_UPSTREAM"), ("tasks", "TASKS_UPSTREAM"))
    }
    config = read_config(path, urls)
    services = {
        f"http://{name_of(found)}:{port['port']}"
        for found in of_kind(overlay, "Service")
        for port in found["spec"]["ports"]
    }
    for upstream in config.upstreams.values():
        assert set(upstream.endpoints) <= services


def test_who_is_told_of_an_address_may_go_there(overlay: list[Object]) -> None:
    """Both ends of a call have a network policy, and either of them can close it."""
    policies = {name_of(found): found["spec"] for found in of_kind(overlay, "NetworkPolicy")}
    called = 0
    for name, template in pods(overlay):
        (container,) = template["spec"]["containers"]
        for value in environment(container, overlay).values():
            host = urlsplit(value).hostname
            if host not in {name_of(found) for found in of_kind(overlay, "Service")}:
                continue
            called += 1
            out = [peer for rule in policies[name]["egress"] for peer in rule.get("to", [])]
            assert host in _named(out), f"{name} may not go out to {host}"
            ways_in = [peer for rule in policies[host]["ingress"] for peer in rule["from"]]
            assert name in _named(ways_in), f"{host} does not let {name} in"
    assert called >= 4


def _named(peers: list[Object]) -> set[str]:
    """The pods that the peers of a policy name."""
    found: set[str] = set()
    for peer in peers:
        selector = peer.get("podSelector", {})
        found |= set(selector.get("matchLabels", {}).values())
        for expression in selector.get("matchExpressions", []):
            found |= set(expression["values"])
    return found
