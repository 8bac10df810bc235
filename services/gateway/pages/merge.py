"""Several services' OpenAPI documents as one, as a client of the gateway sees them."""

from __future__ import annotations

import re
from typing import Any

Document = dict[str, Any]

OPERATIONS = frozenset({"get", "put", "post", "delete", "options", "head", "patch", "trace"})
_SECTIONS = ("schemas", "responses", "parameters", "examples", "requestBodies", "headers", "links")


def add_document(merged: Document, document: Document, *, source: str, paths: Document) -> None:
    """Puts `paths` of `document`, and the components of `document`, into `merged`.

    A component that is in both with the same content is shared; one with other content is renamed
    after `source`, and so is every reference to it in `paths`.
    """
    components = document.get("components", {})
    renamed: dict[str, str] = {}
    for section in _SECTIONS:
        known = merged["components"].setdefault(section, {})
        for name, component in components.get(section, {}).items():
            if name in known and known[name] != component:
                here = f"#/components/{section}/"
                renamed[here + name] = here + _free_name(known, f"{source.title()}{name}")
    for section in _SECTIONS:
        known = merged["components"][section]
        for name, component in components.get(section, {}).items():
            reference = f"#/components/{section}/{name}"
            target = renamed.get(reference, reference).rpartition("/")[2]
            known.setdefault(target, with_references(component, renamed))
    for scheme, component in components.get("securitySchemes", {}).items():
        merged["components"].setdefault("securitySchemes", {}).setdefault(scheme, component)
    for path, item in paths.items():
        merged["paths"].setdefault(path, {}).update(with_references(item, renamed))
    names = {tag["name"] for tag in merged["tags"]}
    merged["tags"] += [tag for tag in document.get("tags", []) if tag["name"] not in names]


def with_references(value: Any, renamed: dict[str, str]) -> Any:
    """A copy of `value` in which references say the new names."""
    if isinstance(value, dict):
        return {
            key: renamed.get(item, item)
            if key == "$ref" and isinstance(item, str)
            else with_references(item, renamed)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [with_references(item, renamed) for item in value]
    return value


def operations(paths: Document) -> list[tuple[str, str, Document]]:
    """Every operation as (path, method, Operation Object)."""
    return [
        (path, method, operation)
        for path, item in paths.items()
        for method, operation in item.items()
        if method in OPERATIONS
    ]


def unique_operation_ids(merged: Document) -> None:
    """Gives operations whose id is taken another one: OpenAPI wants them unique."""
    seen: set[str] = set()
    for path, method, operation in operations(merged["paths"]):
        name = operation.get("operationId") or f"{method}{re.sub(r'[^A-Za-z0-9]+', '_', path)}"
        operation["operationId"] = name = _free_name(seen, name)
        seen.add(name)


def _free_name(taken: Any, name: str) -> str:
    candidate, number = name, 2
    while candidate in taken:
        candidate, number = f"{name}{number}", number + 1
    return candidate
