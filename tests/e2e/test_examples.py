"""The examples of both OpenAPI documents work as they are written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from tests.e2e.conftest import System
from tests.e2e.visitor import Visitor, visiting

# Their input is a secret that was answered before, or a file, or may be left out.
WITHOUT_EXAMPLE = {"/auth/refresh", "/auth/logout", "/auth/session-logout", "/tasks/import"}
# An account comes before its use, and what ends its password after all else.
ORDER = {"/auth/register": -2, "/auth/login": -1, "/auth/password": 1}


@dataclass(frozen=True)
class Example:
    """A request as the document shows it, and the statuses that it promises for it."""

    method: str
    path: str
    media: str
    body: Any
    statuses: tuple[int, ...]


def resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref")
    while reference is not None:
        schema = document
        for step in reference.removeprefix("#/").split("/"):
            schema = schema[step]
        reference = schema.get("$ref")
    return schema


def example_in(document: dict[str, Any], content: dict[str, Any]) -> Any:
    """The example of a body: its own, or that of its fields when every required one has one."""
    if "example" in content:
        return content["example"]
    schema = resolved(document, content["schema"])
    shown = {
        name: field["example"]
        for name, field in schema.get("properties", {}).items()
        if "example" in field
    }
    return shown if shown and set(schema.get("required", ())) <= set(shown) else None


def examples(document: dict[str, Any]) -> Iterator[Example]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if not isinstance(operation, dict) or "requestBody" not in operation:
                continue
            good = tuple(int(status) for status in operation["responses"] if status[0] == "2")
            for media, content in operation["requestBody"]["content"].items():
                body = example_in(document, content)
                yield Example(method.upper(), path, media, body, good)


def encoded(body: Any) -> bytes:
    return body.encode() if isinstance(body, str) else orjson.dumps(body)


async def send(ada: Visitor, example: Example, path: str) -> None:
    """Sends one example as it is; the answer must be one that the document promises."""
    async with ada.asking(
        example.method, path, data=encoded(example.body), headers={"Content-Type": example.media}
    ) as answer:
        text = await answer.text()
        told = f"{example.method} {path} {example.media}: {answer.status} {text}"
        assert answer.status in example.statuses, told
        if "access_token" in text:
            ada.token = orjson.loads(text)["access_token"]


async def walk(ada: Visitor, version: str, *, known: bool) -> None:
    """Sends every example of a version; `known` says that Ada has her account already."""
    base = f"/api/{version}"
    document = await ada.ask("GET", f"{base}/openapi.json", 200)
    found = list(examples(document))
    assert {one.path.removeprefix(base) for one in found if one.body is None} <= WITHOUT_EXAMPLE
    assert len([one for one in found if one.body is not None]) >= 8
    ada.token = ""
    for example in sorted(found, key=lambda one: ORDER.get(one.path.removeprefix(base), 0)):
        if example.body is None or (known and example.path == f"{base}/auth/register"):
            continue
        path = example.path
        if path.startswith(f"{base}/users"):
            # For administrators, and Ada is none.
            continue
        if "{key_id}" in path:
            key = await ada.ask(
                "POST", f"{base}/auth/api-keys", 201, json={"name": "Of an example"}
            )
            path = path.replace("{key_id}", key["id"])
        if "{task_id}" in path:
            task = await ada.ask("POST", f"{base}/tasks", 201, json={"title": "Of an example"})
            path = path.replace("{task_id}", task.get("task", task)["id"])
        if "{webhook_id}" in path:
            hook = {"url": "https://example.org/hook"}
            webhook = await ada.ask("POST", f"{base}/webhooks", 201, json=hook)
            path = path.replace("{webhook_id}", webhook["id"])
        await send(ada, example, path)
        if path == f"{base}/auth/password":
            back = {
                "current_password": example.body["new_password"],
                "new_password": example.body["current_password"],
            }
            await ada.ask("POST", path, 204, json=back)


async def test_every_example_works(start_system: Callable[..., System]) -> None:
    system = start_system()
    async with visiting(system.url, registered=False) as ada:
        await walk(ada, "v1", known=False)
        await walk(ada, "v2", known=True)
