"""The services' documents as one: what a client can call, as he has to call it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from services.gateway.pages import openapi
from tests.service.gateway.door import GENEROUS, Door, Upstream, door, upstream

CONFIG = (
    GENEROUS
    + """
[upstreams.notes]
endpoints = ["{url}"]
[[routes]]
prefix = "/tasks"
upstream = "tasks"
auth = "required"
[[routes]]
prefix = "/notes"
upstream = "notes"
auth = "none"
"""
)


def document(path: str, **schemas: Any) -> dict[str, Any]:
    """A small document with one operation that refers to `Item`."""
    reference = {"$ref": "#/components/schemas/Item"}
    good = {"description": "ok", "content": {"application/json": {"schema": reference}}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "x", "version": "1"},
        "paths": {
            path: {"get": {"operationId": "list", "responses": {"200": good}}},
            "/v2/hidden": {"get": {"responses": {"200": good}}},
        },
        "components": {"schemas": schemas},
    }


def serves(page: Any) -> Any:
    async def answer(_request: web.Request) -> web.StreamResponse:
        if isinstance(page, bytes):
            return web.Response(body=page)
        return web.json_response(page)

    return answer


@pytest.fixture
async def services() -> AsyncIterator[tuple[Upstream, Upstream]]:
    async with upstream() as tasks, upstream() as notes:
        tasks.answers["/v2/openapi.json"] = serves(
            document("/v2/tasks/{id}", Item={"type": "object"}, Same={"type": "string"})
        )
        notes.answers["/v2/openapi.json"] = serves(
            document("/v2/notes", Item={"type": "integer"}, Same={"type": "string"})
        )
        yield tasks, notes


@pytest.fixture
async def gateway(
    services: tuple[Upstream, Upstream], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Door]:
    monkeypatch.setattr(openapi, "KEPT_SECONDS", 0.0)
    monkeypatch.setattr(openapi, "RETRY_SECONDS", 0.0)
    tasks, notes = services
    config = tmp_path / "gateway.toml"
    config.write_text(CONFIG.replace("{url}", notes.url))
    async with door(config, tasks) as running:
        yield running


def schema_of(page: dict[str, Any], path: str) -> dict[str, Any]:
    good = page["paths"][path]["get"]["responses"]["200"]
    reference = good["content"]["application/json"]["schema"]["$ref"]
    found: dict[str, Any] = page["components"]["schemas"][reference.rpartition("/")[2]]
    return found


def references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [one for below in value.values() for one in references(below)]
    if isinstance(value, list):
        return [one for below in value for one in references(below)]
    return []


async def test_merged(gateway: Door) -> None:
    answer, page = await gateway.get("/api/v2/openapi.json")
    assert answer.status == 200
    assert {"/api/v2/tasks/{id}", "/api/v2/notes", "/api/versions", "/health"} <= set(page["paths"])
    assert page["servers"] == [{"url": "/"}]
    # Two services, one name, two meanings: each reference finds its own.
    assert schema_of(page, "/api/v2/tasks/{id}") == {"type": "object"}
    assert schema_of(page, "/api/v2/notes") == {"type": "integer"}
    assert list(page["components"]["schemas"]).count("Same") == 1
    assert not any("Same" in name and name != "Same" for name in page["components"]["schemas"])


async def test_what_no_route_leads_to_is_not_shown(gateway: Door) -> None:
    _, page = await gateway.get("/api/v2/openapi.json")
    assert not any("hidden" in path for path in page["paths"])


async def test_every_reference_leads_somewhere_and_ids_are_unique(gateway: Door) -> None:
    for version in ("v1", "v2"):
        _, page = await gateway.get(f"/api/{version}/openapi.json")
        for reference in references(page):
            at: Any = page
            for step in reference.removeprefix("#/").split("/"):
                at = at[step]
        ids = [
            operation["operationId"]
            for item in page["paths"].values()
            for operation in item.values()
        ]
        assert len(ids) == len(set(ids))


async def test_the_ways_to_prove_an_identity_are_shown(gateway: Door) -> None:
    _, page = await gateway.get("/api/v2/openapi.json")
    schemes = page["components"]["securitySchemes"]
    assert schemes["bearerAuth"]["scheme"] == "bearer"
    cookie, token = schemes["sessionCookie"], schemes["csrfToken"]
    assert (cookie["in"], cookie["name"]) == ("cookie", "session")
    assert (token["in"], token["name"]) == ("header", "X-CSRF-Token")


async def test_the_gateways_own_answers_are_on_every_operation(gateway: Door) -> None:
    _, page = await gateway.get("/api/v2/openapi.json")
    for path, item in page["paths"].items():
        for operation in item.values():
            assert {"400", "404", "405", "413", "414", "429", "431", "502", "503", "504"} <= set(
                operation["responses"]
            ), path
            assert "RateLimit" in operation["responses"]["429"]["headers"]
    assert "401" in page["paths"]["/api/v2/tasks/{id}"]["get"]["responses"]
    assert "401" not in page["paths"]["/api/v2/notes"]["get"]["responses"]


@pytest.mark.parametrize(
    "junk",
    [b"", b"<html>", b"[]", b'{"paths": []}', b'{"paths": {"/v2/notes": 5}}',
     b'{"paths": {"/v2/notes": {"get": 7}}}', b'{"paths": {}, "components": []}'],
)  # fmt: skip
async def test_one_bad_document_does_not_spoil_the_others(
    gateway: Door, services: tuple[Upstream, Upstream], junk: bytes
) -> None:
    services[1].answers["/v2/openapi.json"] = serves(junk)
    answer, page = await gateway.get("/api/v2/openapi.json")
    assert answer.status == 200
    assert "/api/v2/tasks/{id}" in page["paths"]


async def test_the_last_good_document_stays_while_a_service_is_away(
    gateway: Door, services: tuple[Upstream, Upstream]
) -> None:
    async def broken(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=500)

    await gateway.get("/api/v2/openapi.json")
    services[1].answers["/v2/openapi.json"] = broken
    _, page = await gateway.get("/api/v2/openapi.json")
    assert "/api/v2/notes" in page["paths"]


async def test_by_default_version_without_one_in_the_path(gateway: Door) -> None:
    answer, page = await gateway.get("/api/openapi.json", headers={"API-Version": "2"})
    assert answer.headers["API-Version"] == "v2"
    assert "/api/v2/notes" in page["paths"]
