"""The objects of a rendered overlay, and what its containers find when they start."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Object = dict[str, Any]


def of_kind(overlay: list[Object], *kinds: str) -> list[Object]:
    return [found for found in overlay if found["kind"] in kinds]


def name_of(found: Object) -> str:
    name: str = found["metadata"]["name"]
    return name


def pods(overlay: list[Object]) -> Iterator[tuple[str, Object]]:
    """(name, pod template) of everything that runs pods."""
    for found in of_kind(overlay, "Deployment", "Job", "CronJob"):
        spec = found["spec"]
        template = (spec.get("jobTemplate", {}).get("spec") or spec)["template"]
        yield name_of(found), template


def our_containers(overlay: list[Object]) -> Iterator[tuple[Object, tuple[str, ...]]]:
    """(container, module and command) of the processes that are ours."""
    for _, template in pods(overlay):
        for container in template["spec"]["containers"]:
            if container["command"][0] == "python":
                yield container, tuple(container["command"][2:])


def environment(container: Object, overlay: list[Object]) -> dict[str, str]:
    """What the container finds in its environment."""
    maps = {name_of(found): found["data"] for found in of_kind(overlay, "ConfigMap")}
    found: dict[str, str] = {}
    for source in container.get("envFrom", []):
        found |= maps[source["configMapRef"]["name"]]
    return found | {entry["name"]: entry["value"] for entry in container.get("env", [])}
