"""todoman, topydo and todo.txt-cli read what we export, and we read what they write.

Each test needs its program, which Debian has under its own name (todotxt-cli for the last).
"""

import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from services.tasks.app import build
from services.tasks.settings import Settings
from shared.app import create_app
from shared.server import ApiRunner
from tests import tokens
from tests.service.tasks.client import Client, address_of

TODOMAN, TOPYDO, TODO_TXT = "todoman", "topydo", "todo-txt"
TASKS: list[dict[str, Any]] = [
    {
        "external_id": "root-1",
        "title": 'Write; the "report", über all',
        "description": 'First line,\nsecond; line \\ with "quotes" and 100 %',
        "priority": 5,
        "completed": False,
        "created_at": "2026-01-02T03:04:05Z",
        "due_date": "2027-02-03T04:05:06Z",
        "labels": ["work", "home"],
    },
    {
        "external_id": "child",
        "title": "Send it @home due:2027-01-01",
        "description": None,
        "priority": 4,
        "completed": False,
        "created_at": "2026-01-02T03:04:06Z",
        "labels": [],
        "parent_external_id": "root-1",
    },
    {
        "external_id": "done",
        "title": "Old",
        "description": None,
        "priority": 1,
        "completed": True,
        "completed_at": "2026-01-03T00:00:00Z",
        "created_at": "2026-01-02T03:04:07Z",
        "labels": [],
    },
]


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(
        shutil.which(program) is None, reason=f"{program} is not on this machine"
    )


@pytest.fixture
async def client(tasks_database_url: str) -> AsyncIterator[Client]:
    settings = Settings(database_url=tasks_database_url)
    service = build(settings, key_source=tokens.Keys(tokens.KEY_ID))
    runner = ApiRunner(create_app(service, settings), shutdown_timeout=1.0)
    await runner.setup()
    try:
        async with ClientSession() as session:
            yield Client(session, await address_of(runner))
    finally:
        await runner.cleanup()


async def exported(client: Client, name: str) -> bytes:
    lines = b"\n".join(json.dumps(task).encode() for task in TASKS)
    assert (await client.imported(lines)).data["imported"] == len(TASKS)
    return (await client.get(f"/v2/tasks/export?format={name}")).body


async def imported(client: Client, name: str, body: bytes) -> dict[str, dict[str, Any]]:
    path = f"/v2/tasks/import?format={name}"
    media = {"ics": "text/calendar", "todotxt": "text/plain"}[name]
    report = await client.call("POST", path, body=body, headers={"Content-Type": media})
    assert report.data["refused"] == []
    return {task["title"]: task for task in await client.exported()}


def run(folder: Path, *command: str, text: str = "") -> str:
    environment = {**os.environ, "HOME": str(folder), "TZ": "UTC", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def todoman(folder: Path, *arguments: str, text: str = "") -> str:
    (folder / "lists/work").mkdir(parents=True, exist_ok=True)
    (folder / "todoman.py").write_text(
        f'path = "{folder}/lists/*"\ndate_format = "%Y-%m-%d"\ntime_format = "%H:%M"\n'
        f'default_list = "work"\ndefault_due = 0\ncache_path = "{folder}/cache.sqlite3"\n'
    )
    return run(folder, TODOMAN, "--config", f"{folder}/todoman.py", *arguments, text=text)


@needs(TODOMAN)
async def test_todoman_reads_our_calendar(client: Client, tmp_path: Path) -> None:
    todoman(tmp_path, "list")
    (tmp_path / "lists/work/ours.ics").write_bytes(await exported(client, "ics"))
    shown = json.loads(todoman(tmp_path, "--porcelain", "list", "--status", "ANY"))
    found = {
        one["summary"]: (one["description"], one["completed"], one["due"], one["completed_at"])
        for one in shown
    }
    assert found == {
        task["title"]: (
            task["description"] or "",
            task["completed"],
            seconds(task.get("due_date")),
            seconds(task.get("completed_at")),
        )
        for task in TASKS
    }
    # Theirs are those of RFC 5545: the less, the more urgent.
    urgent = sorted(shown, key=lambda one: one["priority"] or 9)
    assert [one["summary"] for one in urgent] == [task["title"] for task in TASKS]


@needs(TODOMAN)
async def test_we_read_what_todoman_writes(client: Client, tmp_path: Path) -> None:
    new = ("new", "-l", "work")
    todoman(
        tmp_path, *new, "--priority", "medium", "--due", "2027-03-04 17:30", "--read-description",
        "Hedge; cut it, please", text="two\nlines, ünïcode",
    )  # fmt: skip
    todoman(tmp_path, *new, "Done soon")
    numbers = {
        one["summary"]: str(one["id"])
        for one in json.loads(todoman(tmp_path, "--porcelain", "list"))
    }
    todoman(tmp_path, "done", numbers["Done soon"])
    files = sorted((tmp_path / "lists/work").glob("*.ics"))
    tasks = await imported(client, "ics", b"".join(path.read_bytes() for path in files))
    hedge, done = tasks["Hedge; cut it, please"], tasks["Done soon"]
    assert (hedge["priority"], hedge["due_date"]) == (3, "2027-03-04T17:30:00Z")
    assert "lines, ünïcode" in hedge["description"]
    assert (hedge["completed"], done["completed"]) == (False, True)
    assert done["completed_at"] is not None
    assert {task["external_id"] for task in tasks.values()} == {
        line.removeprefix("UID:")
        for path in files
        for line in path.read_text().splitlines()
        if line.startswith("UID:")
    }


def topydo(folder: Path, *arguments: str) -> str:
    return run(folder, TOPYDO, "-c", os.devnull, "-t", "todo.txt", "-d", "done.txt", *arguments)


@needs(TOPYDO)
async def test_topydo_reads_our_lines(client: Client, tmp_path: Path) -> None:
    (tmp_path / "todo.txt").write_bytes(await exported(client, "todotxt"))
    # The parent waits for its child, the child for nobody: so topydo understands `id` and `p`.
    assert "Send it" in topydo(tmp_path, "ls")
    assert "über all" not in topydo(tmp_path, "ls")
    shown = topydo(tmp_path, "ls", "-x", "-F", "%p|%s|%d|%x")
    rows = [line.split("|") for line in shown.splitlines()]
    assert {row[0] for row in rows if "über all" in row[1]} == {"A"}
    assert {row[0] for row in rows if "Send it" in row[1]} == {"B"}
    assert {row[2] for row in rows if "über all" in row[1]} == {"2027-02-03"}
    assert [row[3] for row in rows if "Old" in row[1]] == ["x 2026-01-03"]


@needs(TOPYDO)
async def test_we_read_what_topydo_writes(client: Client, tmp_path: Path) -> None:
    topydo(tmp_path, "add", "(A) Thank Mum @phone +family due:2027-12-24")
    topydo(tmp_path, "add", "Buy brushes before:1")
    topydo(tmp_path, "add", "Ünïcode ☃")
    topydo(tmp_path, "do", "3")
    body = (tmp_path / "todo.txt").read_bytes() + b"\n" + (tmp_path / "done.txt").read_bytes()
    tasks = await imported(client, "todotxt", body)
    mum, brushes, snow = (tasks[title] for title in ("Thank Mum", "Buy brushes", "Ünïcode ☃"))
    assert (mum["priority"], mum["labels"]) == (5, ["phone", "+family"])
    assert mum["due_date"] == "2027-12-24T00:00:00Z"
    assert brushes["parent_external_id"] == mum["external_id"]
    assert snow["completed"]
    assert snow["completed_at"].endswith("T00:00:00Z")


def todo_txt(folder: Path, *arguments: str) -> str:
    names = (("TODO_DIR", "."), ("TODO_FILE", "todo.txt"), ("DONE_FILE", "done.txt"))
    lines = [f'export {name}="{folder / value}"\n' for name, value in names]
    (folder / "config").write_text("".join(lines) + f'export REPORT_FILE="{folder}/report.txt"\n')
    return run(folder, TODO_TXT, "-p", "-d", f"{folder}/config", *arguments)


@needs(TODO_TXT)
async def test_todo_txt_cli_reads_our_lines(client: Client, tmp_path: Path) -> None:
    (tmp_path / "todo.txt").write_bytes(await exported(client, "todotxt"))
    assert "über all" in todo_txt(tmp_path, "listpri", "A")
    assert todo_txt(tmp_path, "listcon").split() == ["@home", "@work"]
    todo_txt(tmp_path, "archive")
    assert (tmp_path / "done.txt").read_text().startswith("x 2026-01-03 2026-01-02 Old ")
    assert len((tmp_path / "todo.txt").read_text().splitlines()) == 2


@needs(TODO_TXT)
async def test_we_read_what_todo_txt_cli_writes(client: Client, tmp_path: Path) -> None:
    todo_txt(tmp_path, "-t", "add", "Write the report +work @desk due:2027-01-02")
    todo_txt(tmp_path, "-t", "add", "Call Dad http://example.org/x:y")
    todo_txt(tmp_path, "pri", "1", "C")
    todo_txt(tmp_path, "-a", "do", "2")
    tasks = await imported(client, "todotxt", (tmp_path / "todo.txt").read_bytes())
    report, call = tasks["Write the report"], tasks["Call Dad http://example.org/x:y"]
    assert (report["priority"], report["labels"]) == (3, ["+work", "desk"])
    assert (report["due_date"], report["completed"]) == ("2027-01-02T00:00:00Z", False)
    assert call["completed"]
    assert call["completed_at"] is not None


def seconds(time: str | None) -> int | None:
    if time is None:
        return None
    return int(datetime.fromisoformat(time).astimezone(UTC).timestamp())
