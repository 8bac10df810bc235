"""`make demo` against the real processes."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.e2e.conftest import ROOT, System

GOOD = [
    {"external_id": "child", "title": "Before its parent", "parent_external_id": "parent"},
    {
        "external_id": "parent",
        "title": "Überblick über das Ganze",
        "description": "A list:\n- one\n- two\n\n```\ncode\n```",
        "priority": 5,
        "labels": ["epic", "größer"],
        "created_at": "2025-11-01T11:41:14.874539-07:00",
    },
    {
        "external_id": "done",
        "title": "Closed before it was opened",
        "priority": 4,
        "labels": ["epic"],
        "completed": True,
        "created_at": "2025-11-02T11:41:14-08:00",
        "completed_at": "2025-11-01T12:32:00.157375+05:30",
    },
    {"title": "Nameless"},
]
# Each with what the report must say about it.
BAD = [
    ('{"external_id": "b1", "title": ', "Invalid JSON"),
    (json.dumps({"external_id": "b2", "title": "t" * 201}), "title:"),
    (json.dumps({"external_id": "b3", "title": "t", "priority": 9}), "priority:"),
    (json.dumps({"external_id": "b4", "title": "t", "colour": "red"}), "colour: Unknown field."),
    (
        json.dumps({"external_id": "b5", "title": "t", "parent_external_id": "nobody"}),
        "parent_external_id:",
    ),
    (
        json.dumps({"external_id": "b6", "title": "t", "created_at": "2025-01-01T00:00:00"}),
        "created_at:",
    ),
]


def demo(*arguments: str, data: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if "_PORT" not in name}
    return subprocess.run(
        [sys.executable, "-m", "deploy.local.demo", *arguments],
        cwd=ROOT,
        env=environment | {"DATA_DIR": str(data)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def write_tasks(path: Path, *, broken: bool) -> dict[int, str]:
    """Writes the tasks; the numbers of the bad lines, and what is wrong with them."""
    lines = [json.dumps(task, ensure_ascii=False) for task in GOOD]
    wrong: dict[int, str] = {}
    for text, reason in BAD if broken else []:
        lines += ["", text]
        wrong[len(lines)] = reason
    path.write_text("\n".join(lines), encoding="utf-8")
    return wrong


def test_nobody_there_ends_with_a_hint(tmp_path: Path) -> None:
    write_tasks(tmp_path / "tasks.jsonl", broken=False)
    done = demo(str(tmp_path / "tasks.jsonl"), "--url", "http://127.0.0.1:9", data=tmp_path)
    assert done.returncode == 1
    assert "make run" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_demo_with_the_shipped_limits(
    start_system: Callable[..., System], tmp_path: Path
) -> None:
    system = start_system(config="")
    path = tmp_path / "tasks.jsonl"
    wrong = write_tasks(path, broken=True)
    done = demo(str(path), data=system.data)
    assert done.returncode == 0, done.stdout + done.stderr
    shown = done.stdout.splitlines()
    for number, reason in wrong.items():
        assert any(line.split()[:1] == [str(number)] and reason in line for line in shown), reason
    assert f"{len(GOOD)} imported, 0 unchanged, {len(BAD)} refused" in done.stdout
    assert f"0 imported, {len(GOOD)} unchanged, {len(BAD)} refused" in done.stdout
    assert f"{len(GOOD)} tasks, all equal" in done.stdout
    assert "412 PRECONDITION_FAILED" in done.stdout
    assert "429 RATE_LIMITED" in done.stdout
    assert "Retry-After: " in done.stdout
    assert "/metrics" in done.stdout
    assert 'limiter_decisions_total{decision="refused",policy="default"}' in done.stdout


def test_a_limit_too_high_to_reach_is_said_to_be(system: System, tmp_path: Path) -> None:
    write_tasks(tmp_path / "tasks.jsonl", broken=False)
    done = demo(str(tmp_path / "tasks.jsonl"), "--url", system.url, data=system.data)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "RATE_LIMITED" not in done.stdout
    assert "not shown" in done.stdout
