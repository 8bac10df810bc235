"""The main job: a person manages real tasks through the gateway."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import orjson
import pytest

from tests.e2e.conftest import System
from tests.e2e.visitor import PASSWORD, error_of, visiting

FILE = (
    {
        "external_id": "child",
        "title": "Comes before its parent",
        "description": None,
        "priority": 4,
        "completed": True,
        "created_at": "2025-11-01T11:41:14.874539-07:00",
        "completed_at": "2025-11-02T12:32:00.157375-08:00",
        "labels": ["task", "größer"],
        "parent_external_id": "parent",
    },
    {
        "external_id": "parent",
        "title": "Ünïcödé → 😀 and `code`",
        "description": "# Markdown\n\n```go\nfunc main() {}\n```\n" + "long " * 1000,
        "priority": 1,
        "completed": False,
        "created_at": "2025-10-28T16:20:02+00:00",
        "labels": [],
        "due_date": "2031-02-03T04:05:06Z",
    },
    {"external_id": "least", "title": "Only what is needed"},
)
BROKEN = (
    b"{not json",
    b'{"title": "' + b"x" * 201 + b'"}',
    b'{"title": "a", "priority": 9}',
    b'{"title": "a", "colour": "red"}',
    b'{"title": "a", "parent_external_id": "nobody"}',
    b'{"title": "a", "due_date": "2030-01-01T00:00:00"}',
    b'{"title": "a", "title": "b"}',
    rb'{"title": "a\u0000"}',
)
NDJSON = {"Content-Type": "application/x-ndjson"}
TIMES = ("created_at", "completed_at", "due_date")


def lines(*items: Any) -> bytes:
    return b"".join(
        (item if isinstance(item, bytes) else orjson.dumps(item)) + b"\n" for item in items
    )


def comparable(line: dict[str, Any]) -> dict[str, Any]:
    """A line with its times as moments; fields that say nothing are left out."""
    return {
        name: datetime.fromisoformat(value) if name in TIMES else value
        for name, value in line.items()
        if value not in (None, [], False)
    }


async def test_a_person_manages_tasks(system: System) -> None:
    async with visiting(system.url) as person:
        refresh_token = person.grant["refresh_token"]
        body = {"email": person.email, "password": PASSWORD}
        grant = await person.ask("POST", "/api/v2/auth/login", 200, json=body)
        assert (grant["token_type"], grant["expires_in"]) == ("Bearer", 900)
        person.token = grant["access_token"]

        async with person.asking(
            "POST", "/api/v2/tasks", json={"title": "Write", "priority": 5, "labels": ["docs"]}
        ) as answer:
            assert answer.status == 201
            task = await answer.json()
            assert answer.headers["Location"] == f"/api/v2/tasks/{task['id']}"
            etag = answer.headers["ETag"]
            assert etag == task["etag"]
        path = f"/api/v2/tasks/{task['id']}"

        page = await person.ask("GET", "/api/v2/tasks?label=docs", 200)
        assert (page["count"], page["results"]) == (1, [task])

        stale = {"If-Match": '"stale"'}
        change = {"completed": True}
        refused = await person.ask("PATCH", path, 412, json=change, headers=stale)
        error_of(refused, "PRECONDITION_FAILED")
        assert (await person.ask("GET", path, 200))["completed"] is False
        async with person.asking("PATCH", path, json=change, headers={"If-Match": etag}) as answer:
            assert answer.status == 200
            done = await answer.json()
            assert done["completed"] is True
            assert done["completed_at"] is not None
            assert answer.headers["ETag"] != etag
        await person.ask("GET", path, 304, headers={"If-None-Match": done["etag"]})
        assert (await person.ask("GET", f"/api/v1/tasks/{task['id']}", 200))["task"]["completed"]

        await person.ask("DELETE", path, 204)
        error_of(await person.ask("GET", path, 404), "NOT_FOUND")

        await person.ask("POST", "/api/v2/auth/logout", 204, json={"all": True})
        for token in (refresh_token, grant["refresh_token"]):
            body = {"refresh_token": token}
            error_of(await person.ask("POST", "/api/v2/auth/refresh", 401, json=body))


async def test_what_is_imported_is_what_is_exported(system: System) -> None:
    async with visiting(system.url) as person:
        path = "/api/v2/tasks/import?format=jsonl"
        sent = {"data": lines(*FILE), "headers": NDJSON}
        dry = await person.ask("POST", path + "&dry_run=true", 200, **sent)
        assert dry == {"imported": 3, "unchanged": 0, "refused": []}
        assert (await person.ask("GET", "/api/v2/tasks", 200))["count"] == 0
        first = await person.ask("POST", path, 200, **sent)
        assert first == {"imported": 3, "unchanged": 0, "refused": []}
        second = await person.ask("POST", path, 200, **sent)
        assert second == {"imported": 0, "unchanged": 3, "refused": []}
        assert (await person.ask("GET", "/api/v2/tasks", 200))["count"] == 3

        text = await person.ask("GET", "/api/v2/tasks/export?format=jsonl", 200)
        exported = {line["external_id"]: line for line in map(orjson.loads, text.splitlines())}
        for given in FILE:
            shown = comparable(exported[given["external_id"]])
            assert {name: shown.get(name) for name in comparable(given)} == comparable(given)
        assert len(exported) == 3


async def test_bad_lines_are_named_and_the_others_imported(system: System) -> None:
    async with visiting(system.url) as person:
        body = lines(FILE[0], *BROKEN, FILE[1], b"", FILE[2])
        report = await person.ask(
            "POST", "/api/v2/tasks/import?format=jsonl", 200, data=body, headers=NDJSON
        )
        assert report["imported"] == 3
        assert [refusal["line"] for refusal in report["refused"]] == list(range(2, 10))
        named = [list(refusal["errors"]) for refusal in report["refused"]]
        assert named[1:] == [
            ["title"], ["priority"], ["colour"], ["parent_external_id"], ["due_date"], ["title"],
            ["title"],
        ]  # fmt: skip
        assert (await person.ask("GET", "/api/v2/tasks", 200))["count"] == 3


async def test_a_strangers_task_is_not_there(system: System) -> None:
    async with visiting(system.url) as owner, visiting(system.url) as stranger:
        task = await owner.ask("POST", "/api/v2/tasks", 201, json={"title": "Mine"})
        path = f"/api/v2/tasks/{task['id']}"
        for method, body in (("GET", None), ("PATCH", {"title": "x"}), ("DELETE", None)):
            error_of(await stranger.ask(method, path, 404, json=body), "NOT_FOUND")
        assert (await stranger.ask("GET", "/api/v2/tasks", 200))["count"] == 0
        assert (await owner.ask("GET", path, 200))["title"] == "Mine"


@pytest.mark.parametrize("path", ["/api/v1/tasks", "/api/v2/tasks", "/api/v2/auth/profile"])
async def test_without_a_login_nothing_is_shown(system: System, path: str) -> None:
    async with visiting(system.url, registered=False) as nobody:
        async with nobody.asking("GET", path) as answer:
            assert answer.status == 401
            error_of(await answer.json(), "UNAUTHORIZED")
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")


async def test_a_name_and_a_role_cannot_be_taken(system: System) -> None:
    async with visiting(system.url) as person:
        body = {"name": "Eve", "email": person.email, "password": PASSWORD}
        error_of(await person.ask("POST", "/api/v1/auth/register", 409, json=body), "CONFLICT")
        body = {**body, "email": "eve@example.com", "role": "admin"}
        refused = await person.ask("POST", "/api/v1/auth/register", 422, json=body)
        assert error_of(refused)["details"] == {"role": ["Unknown field."]}
