"""The README's tour works as it is pasted."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.e2e.conftest import ROOT, System

README = (ROOT / "README.md").read_text()


def tour() -> str:
    """The one shell block below `## Tour`."""
    section = README.partition("\n## Tour\n")[2].partition("\n## ")[0]
    (block,) = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    return str(block)


def test_the_tour_does_what_it_says(system: System, tmp_path: Path) -> None:
    script = tour().replace("http://127.0.0.1:8080", system.url)
    done = subprocess.run(
        ["sh"], input=script, capture_output=True, text=True, cwd=tmp_path, check=True, timeout=60
    )
    assert done.stderr == ""
    shown = done.stdout
    assert shown.startswith("HTTP/1.1 201 Created")
    for step in (
        "location: /api/v2/tasks/",
        '"code":"PRECONDITION_FAILED"',
        '"completed":true',
        '"count":1,',
        '"imported":1,',
        '"refused":[{"line":2,',
        '"external_id":"m-1"',
        "Buy milk",
        "policies",
    ):
        assert step.lower() in shown.lower(), f"{step} is not in:\n{shown}"
    assert '"INTERNAL_ERROR"' not in shown
    assert "UNAUTHORIZED" not in shown


def test_the_tour_is_ten_lines() -> None:
    assert len(tour().strip().splitlines()) == 10


def test_every_make_target_of_the_readme_is_there() -> None:
    makefile = (ROOT / "Makefile").read_text()
    named = set(re.findall(r"\bmake ([a-z][a-z0-9-]*)\b", README))
    assert {"run", "demo", "check"} <= named
    missing = {name for name in named if not re.search(rf"^{name}:", makefile, re.MULTILINE)}
    assert not missing


def test_every_file_that_the_readme_names_is_there() -> None:
    named = {
        path
        for path in re.findall(r"`([\w./-]+\.(?:py|md|toml)|[\w-]+/[\w/-]*)`", README)
        if not path.startswith((".data", "/"))
    }
    assert named
    missing = {path for path in named if not list(ROOT.glob(path)) + list(ROOT.rglob(f"*/{path}"))}
    assert not missing
