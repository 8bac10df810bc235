"""Imports and exports."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import pytest

from services.tasks.domain import MAX_LEVELS
from services.tasks.handlers import files
from services.tasks.transfer import intake
from services.tasks.usecases.lists import EXPORT_BATCH
from tests.service.tasks.client import Client

LINES: list[dict[str, Any]] = [
    {
        "external_id": "c41",
        "title": "Parse `--since` with an offset (#214)",
        "description": "```go\nt, err := time.Parse(…)\n```\nnaïve ☃ 日本語",
        "priority": 4,
        "completed": True,
        "created_at": "2025-11-01T11:41:14.874539-07:00",
        "completed_at": "2025-10-28T12:32:00.157375-08:00",
        "labels": ["bug", "área"],
        "parent_external_id": "a07",
    },
    {
        "external_id": "b12",
        "title": "Daemon",
        "description": None,
        "priority": 2,
        "completed": False,
        "created_at": "2025-11-05T11:22:11.6068Z",
        "labels": [],
        "parent_external_id": "a07",
    },
    {
        "external_id": "a07",
        "title": "Release 1.0",
        "description": "",
        "priority": 5,
        "completed": False,
        "created_at": "2025-10-01T00:00:00Z",
        "labels": ["epic"],
        "due_date": "2026-02-01T00:00:00+05:30",
    },
]
BROKEN: list[tuple[bytes, str]] = [
    (b"{broken", "line"),
    (json.dumps({"external_id": "l", "title": "x" * 201}).encode(), "title"),
    (b'{"title": "p", "priority": 9}', "priority"),
    (b'{"title": "u", "colour": "red"}', "colour"),
    (b'{"title": "o", "parent_external_id": "nowhere"}', "parent_external_id"),
    (b'{"title": "below a refused one", "parent_external_id": "l"}', "parent_external_id"),
    (b'{"title": "d", "created_at": "2026-01-01T00:00:00"}', "created_at"),
    (b'{"external_id": "self", "title": "s", "parent_external_id": "self"}', "parent_external_id"),
]


def jsonl(*lines: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def comparable(line: dict[str, Any]) -> dict[str, Any]:
    """Times as instants; everything else as it is."""
    times = ("created_at", "completed_at", "due_date")
    return {
        name: datetime.fromisoformat(value) if name in times else value
        for name, value in line.items()
    }


async def test_an_export_is_what_was_imported(ann: Client) -> None:
    answer = await ann.imported(jsonl(*LINES))
    assert answer.data == {"imported": 3, "unchanged": 0, "refused": []}
    exported = await ann.exported()
    by_creation = sorted(map(comparable, LINES), key=lambda line: line["created_at"])
    assert [comparable(line) for line in exported] == by_creation
    assert all(line["created_at"].endswith("Z") for line in exported)


async def test_imported_tasks_are_tasks(ann: Client) -> None:
    await ann.imported(jsonl(*LINES))
    tasks = {task["external_id"]: task for task in (await ann.get("/v2/tasks")).data["results"]}
    assert tasks["c41"]["parent_id"] == tasks["a07"]["id"]
    assert tasks["c41"]["created_at"] == "2025-11-01T18:41:14.874539Z"
    assert tasks["c41"]["completed_at"] == "2025-10-28T20:32:00.157375Z"
    assert tasks["b12"]["version"] == 1
    assert (await ann.get("/v2/tasks?q=parse")).data["count"] == 1


async def test_a_second_import_creates_nothing(ann: Client, bob: Client) -> None:
    nameless = {"title": "milk"}
    data = jsonl(*LINES, nameless, nameless)
    assert (await ann.imported(data)).data["imported"] == 5
    before = (await ann.get("/v2/tasks")).data
    changed = jsonl({**LINES[0], "title": "Changed"}, *LINES[1:], nameless, nameless)
    for again in (data, changed):
        answer = await ann.imported(again)
        assert answer.data == {"imported": 0, "unchanged": 5, "refused": []}
    assert (await ann.get("/v2/tasks")).data == before
    assert (await bob.imported(data)).data["imported"] == 5


async def test_ones_own_export_is_unchanged(ann: Client) -> None:
    parent = await ann.created(title="parent")
    await ann.created(title="child", parent_id=parent["id"], external_id="named")
    [first, second] = await ann.exported()
    assert first["external_id"] == parent["id"] == second["parent_external_id"]
    answer = await ann.imported(jsonl(first, second, {"title": "x", "parent_external_id": "named"}))
    assert answer.data == {"imported": 1, "unchanged": 2, "refused": []}


@pytest.mark.parametrize("query", ["", "?format=jsonl&dry_run=true"])
async def test_bad_lines_are_named_and_good_ones_imported(ann: Client, query: str) -> None:
    data = b"\n\n".join([*(line for line, _ in BROKEN), jsonl(*LINES)])
    answer = await ann.imported(data, query)
    assert answer.status == 200
    report = answer.data
    assert (report["imported"], report["unchanged"]) == (3, 0)
    named = [(line["line"], *line["errors"]) for line in report["refused"]]
    assert named == [(number * 2 + 1, field) for number, (_, field) in enumerate(BROKEN)]
    count = (await ann.get("/v2/tasks")).data["count"]
    assert count == (0 if query else 3)


async def test_deep_trees_are_bounded_over_several_imports(ann: Client) -> None:
    chain = [
        {"external_id": "1", "title": "1"},
        *(
            {"external_id": f"{level}", "title": "t", "parent_external_id": f"{level - 1}"}
            for level in range(2, MAX_LEVELS + 1)
        ),
    ]
    assert (await ann.imported(jsonl(*reversed(chain)))).data["imported"] == MAX_LEVELS
    deeper = {"title": "t", "parent_external_id": f"{MAX_LEVELS}"}
    [refused] = (await ann.imported(jsonl(deeper))).data["refused"]
    assert set(refused["errors"]) == {"parent_external_id"}


async def test_a_strangers_task_is_no_parent(ann: Client, bob: Client) -> None:
    await bob.imported(jsonl(*LINES))
    line = {"title": "t", "parent_external_id": "a07"}
    assert (await ann.imported(jsonl(line))).data["imported"] == 0


async def test_a_deleted_task_is_imported_again(ann: Client) -> None:
    await ann.imported(jsonl(*LINES))
    for task in (await ann.get("/v2/tasks")).data["results"]:
        await ann.call("DELETE", f"/v2/tasks/{task['id']}")
    assert (await ann.imported(jsonl(*LINES))).data["imported"] == 3


async def test_of_many_imports_of_one_file_each_task_is_created_once(ann: Client) -> None:
    lines = jsonl(*({"external_id": f"{n}", "title": "t"} for n in range(300)))
    posts = [
        ann.call("POST", "/v2/tasks", {"external_id": f"{n}", "title": "t"})
        for n in range(0, 300, 100)
    ]
    answers = await asyncio.gather(*(ann.imported(lines) for _ in range(4)), *posts)
    for report in (answer.data for answer in answers[:4]):
        assert report["imported"] + report["unchanged"] == 300
    assert {answer.status for answer in answers[4:]} <= {201, 409}
    assert (await ann.get("/v2/tasks")).data["count"] == 300


async def test_an_empty_file_is_no_error(ann: Client) -> None:
    for data in (b"", b"\n \n"):
        report = (await ann.imported(data)).data
        assert report == {"imported": 0, "unchanged": 0, "refused": []}


async def test_a_body_in_pieces(ann: Client) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for byte in jsonl(*LINES)[:-1]:
            yield bytes([byte])

    assert (await ann.imported(pieces())).data["imported"] == 3


async def test_a_file_that_is_too_large_is_refused_whole(
    ann: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MAX_IMPORT_BYTES", 1_000)
    data = jsonl(*({"title": "t"} for _ in range(100)))

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(data), 100):
            yield data[start : start + 100]

    for body in (data, pieces()):
        answer = await ann.imported(body)
        assert (answer.status, set(answer.details)) == (413, {"body"})
    assert (await ann.get("/v2/tasks")).data["count"] == 0


async def test_a_file_of_too_many_lines_is_refused_whole(
    ann: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "MAX_LINES", 5)
    answer = await ann.imported(jsonl(*({"title": "t"} for _ in range(6))))
    assert (answer.status, set(answer.details)) == (400, {"body"})
    assert (await ann.get("/v2/tasks")).data["count"] == 0


async def test_other_formats_and_media_are_refused(ann: Client) -> None:
    for path in ("/v2/tasks/export?format=xml", "/v2/tasks/export?format="):
        answer = await ann.get(path)
        assert (answer.status, set(answer.details)) == (422, {"format"})
    answer = await ann.imported(b"{}", "?dry_run=yes")
    assert (answer.status, set(answer.details)) == (422, {"dry_run"})
    for media in ("application/json", "text/html", "multipart/form-data"):
        answer = await ann.call(
            "POST", "/v2/tasks/import", body=b"{}", headers={"Content-Type": media}
        )
        assert (answer.status, answer.error["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")


async def test_an_export_goes_on_over_many_batches(ann: Client) -> None:
    count = EXPORT_BATCH * 2 + 1
    # All of one moment, so that only the id tells them apart.
    lines = [
        {"external_id": f"{n}", "title": "t", "created_at": "2026-01-01T00:00:00Z"}
        for n in range(count)
    ]
    await ann.imported(jsonl(*lines))
    assert [line["external_id"] for line in await ann.exported()] == [f"{n}" for n in range(count)]


async def test_an_export_says_what_it_is(ann: Client) -> None:
    answer = await ann.get("/v2/tasks/export")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    assert "tasks.jsonl" in answer.headers["Content-Disposition"]
    await ann.created()
    head = await ann.call("HEAD", "/v2/tasks/export")
    assert (head.status, head.body) == (200, b"")
