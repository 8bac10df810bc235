"""The rendered overlays keep what they promise to one another and to the services."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.check.pods import PASSWORDS, STARTED, secret_files
from services.auth.settings import DatabaseSettings as AuthDatabase
from services.auth.settings import Settings as AuthSettings
from services.gateway.settings import Settings as GatewaySettings
from services.tasks.settings import DatabaseSettings as TasksDatabase
from services.tasks.settings import Settings as TasksSettings
from services.tasks.webhooks.guard import is_public
from shared.health import Health
from shared.metrics import new_registry
from shared.ops import ops_app
from shared.settings import REQUIRED, variables
from tests.deploy.conftest import DEPLOY, need
from tests.deploy.manifests import Object, environment, name_of, of_kind, our_containers, pods

SETTINGS: dict[tuple[str, ...], type[Any]] = {
    ("services.gateway",): GatewaySettings,
    ("services.auth",): AuthSettings,
    ("services.auth", "migrate"): AuthDatabase,
    ("services.tasks",): TasksSettings,
    ("services.tasks", "worker"): TasksSettings,
    ("services.tasks", "migrate"): TasksDatabase,
}
NAMESPACED_BY_NATURE = {"Namespace"}
# The only kinds that may hold what is kept secret, by reference to the operators' store.
SECRET_MAKERS = {"ExternalSecret"}


def test_the_schemas_of_kubernetes_hold(overlay_text: str) -> None:
    program = need("kubernetes-validate")
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(overlay_text)
        file.flush()
        done = subprocess.run(
            [program, "--strict", "-k", "1.32", file.name],
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_object_is_named_once_and_in_its_namespace(overlay: list[Object]) -> None:
    seen = [(found["kind"], name_of(found)) for found in overlay]
    assert len(seen) == len(set(seen))
    (namespace,) = of_kind(overlay, "Namespace")
    for found in overlay:
        if found["kind"] not in NAMESPACED_BY_NATURE:
            assert found["metadata"]["namespace"] == name_of(namespace)


def test_selectors_find_exactly_their_pods(overlay: list[Object]) -> None:
    labels = {name: template["metadata"]["labels"] for name, template in pods(overlay)}
    wanted = [
        (name_of(found), found["spec"]["selector"].get("matchLabels", found["spec"]["selector"]))
        for found in of_kind(overlay, "Service", "PodDisruptionBudget", "Deployment")
    ]
    assert len(wanted) >= 12
    for name, selector in wanted:
        matched = [pod for pod, its in labels.items() if selector.items() <= its.items()]
        assert matched == [name]


def test_services_and_probes_name_ports_that_the_container_has(overlay: list[Object]) -> None:
    templates = dict(pods(overlay))
    for service in of_kind(overlay, "Service"):
        (container,) = templates[name_of(service)]["spec"]["containers"]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        for port in service["spec"]["ports"]:
            assert port["targetPort"] in ports
            assert port["port"] == ports[port["targetPort"]]


def test_containers_listen_where_the_settings_say(overlay: list[Object]) -> None:
    for container, command in our_containers(overlay):
        ports = {port["name"]: port["containerPort"] for port in container.get("ports", [])}
        if not ports:
            continue
        settings = SETTINGS[command]
        defaults = {variable.name: variable.default for variable in variables(settings)}
        prefix = command[0].removeprefix("services.").upper()
        ops = f"{prefix}_WORKER_OPS_PORT" if "worker" in command else f"{prefix}_OPS_PORT"
        assert ports["ops"] == defaults[ops]
        assert ports.get("http", defaults[f"{prefix}_PORT"]) == defaults[f"{prefix}_PORT"]


def test_probes_ask_paths_that_the_ops_port_routes(overlay: list[Object]) -> None:
    app = ops_app(Health(), new_registry("sample"))
    routed = {resource.canonical for resource in app.router.resources()}
    probed = 0
    for found in of_kind(overlay, "Deployment"):
        (container,) = found["spec"]["template"]["spec"]["containers"]
        for kind, path in (
            ("startupProbe", "/health/live"),
            ("livenessProbe", "/health/live"),
            ("readinessProbe", "/health/ready"),
        ):
            asked = container[kind]["httpGet"]
            assert asked == {"path": path, "port": "ops"}
            assert asked["path"] in routed
            probed += 1
    assert probed == 12


def test_every_variable_is_read_and_every_required_one_given(overlay: list[Object]) -> None:
    seen = set()
    for container, command in our_containers(overlay):
        seen.add(command)
        known = {variable.name: variable for variable in variables(SETTINGS[command])}
        readable = set(known) | {f"{name}_FILE" for name, its in known.items() if its.secret}
        given = environment(container, overlay)
        assert set(given) <= readable
        required = {name for name, its in known.items() if its.default is REQUIRED}
        assert required <= {name.removesuffix("_FILE") for name in given}
    assert seen == set(SETTINGS)


SECRET_KEYS = {"SERVICE_CREDENTIAL_FILE": "key", "ENCRYPTION_KEYS_FILE": "keys"}


def test_secrets_come_from_files_that_are_mounted(overlay: list[Object]) -> None:
    for _, template in pods(overlay):
        (container,) = template["spec"]["containers"]
        mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        secret = {its["name"] for its in template["spec"]["volumes"] if "secret" in its}
        for name, value in environment(container, overlay).items():
            if name.endswith("_FILE"):
                folder, _, key = value.rpartition("/")
                assert mounts[folder] in secret
                assert key == SECRET_KEYS.get(name, "url")
            assert "://:" not in value
            assert "@" not in value


def test_everything_referred_to_is_there(overlay: list[Object]) -> None:
    present = {(found["kind"], name_of(found)) for found in overlay}
    makers = of_kind(overlay, *SECRET_MAKERS)
    made = {found["spec"]["target"]["name"] for found in makers}
    documented = (DEPLOY.parent / "docs" / "operate.md").read_text()
    for _, template in pods(overlay):
        spec = template["spec"]
        assert ("ServiceAccount", spec["serviceAccountName"]) in present
        for volume in spec["volumes"]:
            if "configMap" in volume:
                assert ("ConfigMap", volume["configMap"]["name"]) in present
            if "persistentVolumeClaim" in volume:
                claim = volume["persistentVolumeClaim"]["claimName"]
                assert ("PersistentVolumeClaim", claim) in present
            if "secret" in volume:
                secret = volume["secret"]["secretName"]
                assert f"create secret generic {secret} " in documented
                assert not makers or secret in made
        volumes = {volume["name"] for volume in spec["volumes"]}
        for container in spec["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
            for source in container.get("envFrom", []):
                assert ("ConfigMap", source["configMapRef"]["name"]) in present
    deployments = {name_of(found): found["spec"] for found in of_kind(overlay, "Deployment")}
    for found in of_kind(overlay, "HorizontalPodAutoscaler"):
        target = found["spec"]["scaleTargetRef"]
        assert target["kind"] == "Deployment"
        # Two that say how many pods there are would take turns in changing it.
        assert "replicas" not in deployments[target["name"]]


def test_the_doors_lead_to_the_gateway(overlay: list[Object]) -> None:
    doors = of_kind(overlay, "Ingress", "HTTPRoute")
    assert doors
    for found in doors:
        rules = found["spec"]["rules"]
        if found["kind"] == "Ingress":
            backend = rules[0]["http"]["paths"][0]["backend"]["service"]
            assert backend == {"name": "gateway", "port": {"name": "http"}}
        else:
            assert rules[0]["backendRefs"] == [{"name": "gateway", "port": 8080}]


def test_no_secret_is_in_the_manifests(overlay: list[Object]) -> None:
    assert of_kind(overlay, "Secret") == []


def test_pods_may_do_nothing_but_their_work(overlay: list[Object]) -> None:
    for _, template in pods(overlay):
        spec = template["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] == 10001
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": True,
            }
            assert container["resources"]["limits"]["memory"]
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}
    for account in of_kind(overlay, "ServiceAccount"):
        assert account["automountServiceAccountToken"] is False


def test_a_rollout_and_a_drain_leave_no_gap(overlay: list[Object]) -> None:
    for found in of_kind(overlay, "Deployment"):
        assert found["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
        template = found["spec"]["template"]["spec"]
        (container,) = template["containers"]
        given = environment(container, overlay)
        probe = container["readinessProbe"]
        noticed = probe["periodSeconds"] * probe["failureThreshold"]
        drain, shutdown = float(given["DRAIN_SECONDS"]), float(given["SHUTDOWN_SECONDS"])
        assert drain + shutdown < template["terminationGracePeriodSeconds"]
        if name_of(of_kind(overlay, "Namespace")[0]) == "tasklane":
            assert drain > noticed
            assert len(template["topologySpreadConstraints"]) == 2


def test_networks_are_closed_and_then_opened_by_name(overlay: list[Object]) -> None:
    policies = {name_of(found): found["spec"] for found in of_kind(overlay, "NetworkPolicy")}
    assert policies["deny-all"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    names = {
        template["metadata"]["labels"]["app.kubernetes.io/name"] for _, template in pods(overlay)
    }
    allowed = names | {"backup"}
    reached: set[str] = set()
    for policy in policies.values():
        for selector in _selectors(policy):
            found = set(selector.get("matchLabels", {}).values())
            for expression in selector.get("matchExpressions", []):
                found |= set(expression["values"])
            assert found <= allowed
        selector = policy["podSelector"]
        reached |= set(selector.get("matchLabels", {}).values())
        for expression in selector.get("matchExpressions", []):
            reached |= set(expression["values"])
    assert names <= reached
    for name, policy in policies.items():
        for rule in policy.get("ingress", []):
            assert rule.get("from"), f"{name} lets anybody in"
            assert rule.get("ports"), f"{name} opens every port"


def _selectors(policy: Object) -> Iterator[Object]:
    yield policy["podSelector"]
    for rule in [*policy.get("ingress", []), *policy.get("egress", [])]:
        for peer in [*rule.get("from", []), *rule.get("to", [])]:
            if "podSelector" in peer and "namespaceSelector" not in peer:
                yield peer["podSelector"]


def test_webhooks_go_out_but_not_to_what_is_inside(overlay: list[Object]) -> None:
    policies = {name_of(found): found["spec"] for found in of_kind(overlay, "NetworkPolicy")}
    out = [
        ip_network(peer["ipBlock"]["cidr"])
        for rule in policies["tasks-worker"]["egress"]
        for peer in rule.get("to", [])
        if "ipBlock" in peer
    ]
    closed = [
        ip_network(excluded)
        for rule in policies["tasks-worker"]["egress"]
        for peer in rule.get("to", [])
        for excluded in peer.get("ipBlock", {}).get("except", [])
    ]

    def reached(text: str) -> bool:
        address = ip_address(text)
        return any(address in network for network in out) and not any(
            address in network for network in closed
        )

    for public in ("93.184.215.14", "1.1.1.1", "2606:4700:4700::1111"):
        assert is_public(public)
        assert reached(public)
    inside = ("10.1.2.3", "172.20.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "127.0.0.1")
    for private in (*inside, "fd00::1", "fe80::1", "::1"):
        assert not is_public(private)
        assert not reached(private)


def test_the_pods_that_an_engine_runs_are_all_there(overlay: list[Object]) -> None:
    assert set(STARTED) == {name_of(found) for found in of_kind(overlay, "Deployment")}
    given = secret_files(dict.fromkeys(PASSWORDS, "x"))
    for _, template in pods(overlay):
        (container,) = template["spec"]["containers"]
        secret = {
            mount["mountPath"]: volume["secret"]["secretName"]
            for mount in container["volumeMounts"]
            for volume in template["spec"]["volumes"]
            if volume["name"] == mount["name"] and "secret" in volume
        }
        read = {path for path in environment(container, overlay).values() if "/secrets/" in path}
        assert {f"{place}/{key}" for place, name in secret.items() for key in given[name]} == read


def test_checkov_finds_nothing_unexplained(overlay_text: str, tmp_path: Path) -> None:
    program = need("checkov")
    path = tmp_path / "overlay.yaml"
    path.write_text(overlay_text)
    config = DEPLOY / "k8s" / ".checkov.yaml"
    options = ["--compact", "--quiet", "--skip-download"]
    done = subprocess.run(
        [program, "--config-file", str(config), "-f", str(path), *options],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", sorted((DEPLOY / "k8s").rglob("kustomization.yaml")), ids=str)
def test_every_file_of_a_kustomization_is_used(path: Path) -> None:
    document = yaml.safe_load(path.read_text())
    named = set(document.get("resources", []))
    for generator in document.get("configMapGenerator", []):
        named |= set(generator.get("files", [])) | set(generator.get("envs", []))
    beside = {file.name for file in path.parent.iterdir() if file.is_file()}
    assert beside - {path.name, "adapter-rules.yaml"} == {name for name in named if "/" not in name}
