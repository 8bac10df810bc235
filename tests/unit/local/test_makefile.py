"""The Makefiles: every target explained, and a Python that is too old refused in words."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
# What a make above us was called with would count for ours as well.
INHERITED = {"PYTHON", "VENV", "MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES", "MAKELEVEL"}
# Targets that others are made of, and nobody calls.
INNER = {"alone", "setup-test"}


def make(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in INHERITED}
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("folder", [ROOT, *sorted((ROOT / "services").glob("*/"))], ids=str)
def test_help_explains_every_target(folder: Path) -> None:
    if not (folder / "Makefile").exists():
        assert not (folder / "__init__.py").exists()
        return
    text = (folder / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z0-9-]+):(?!=)", text, re.MULTILINE)) - INNER
    explained = {line.split()[0] for line in make("help", folder=folder).stdout.splitlines()}
    assert explained == targets
    phony = text.replace("\\\n", " ").split(".PHONY:")[1].splitlines()[0].split()
    assert targets <= set(phony)


def test_a_python_that_is_too_old_or_missing_is_refused(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    done = make("run", f"PYTHON={old}", f"VENV={tmp_path}/venv")
    assert done.returncode != 0
    assert "needs Python 3.11 or newer" in done.stderr
    assert str(old) in done.stderr
    assert not (tmp_path / "venv").exists()


def test_the_first_python_that_is_new_enough_is_taken(tmp_path: Path) -> None:
    done = make("-n", "setup", f"VENV={tmp_path}/venv")
    assert "python3 python3.14 python3.13" in done.stdout
    assert "--this-python" not in done.stdout
    assert "--this-python" in make("-n", "setup", "PYTHON=python3.12").stdout
