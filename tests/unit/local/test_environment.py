"""When the virtual environment is made, brought up to date, or left alone."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deploy.local import environment
from deploy.local.environment import LEVELS, REQUIREMENTS, is_current, prepare, stamp_of

HERE = ".".join(map(str, sys.version_info[:3]))


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that were run; making an environment leaves what venv leaves."""
    seen: list[list[str]] = []
    real = subprocess.run

    def record(command: list[Any], **options: Any) -> subprocess.CompletedProcess[str]:
        words = [str(word) for word in command]
        if words[1:3] == ["-m", "venv"]:
            folder = Path(words[-1])
            (folder / "bin").mkdir(parents=True, exist_ok=True)
            (folder / "bin" / "python").unlink(missing_ok=True)
            (folder / "bin" / "python").symlink_to(sys.executable)
            (folder / "pyvenv.cfg").write_text(f"home = /x\nversion = {HERE}\n")
            (folder / "has-pip").touch()
        elif (Path(words[0]).parents[1] / "has-pip").exists() and words[1] == "-I":
            # The interpreter behind the link may be a system's, which has no pip of its own.
            return subprocess.CompletedProcess(command, 0, HERE)
        elif words[1:3] != ["-m", "pip"]:
            return real(command, **options)
        seen.append(words[1:3])
        return subprocess.CompletedProcess(command, 0, "")

    monkeypatch.setattr("subprocess.run", record)
    return seen


def test_a_second_call_does_nothing(tmp_path: Path, commands: list[list[str]]) -> None:
    prepare(tmp_path / "v", "local", recreate_for=None)
    assert commands == [["-m", "venv"], ["-m", "pip"]]
    prepare(tmp_path / "v", "local", recreate_for=None)
    prepare(tmp_path / "v", "base", recreate_for=HERE)
    assert len(commands) == 2


def test_a_larger_level_contains_the_smaller(tmp_path: Path, commands: list[list[str]]) -> None:
    prepare(tmp_path / "v", "test", recreate_for=None)
    assert all(is_current(tmp_path / "v", level) for level in LEVELS)
    prepare(tmp_path / "w", "local", recreate_for=None)
    assert not is_current(tmp_path / "w", "test")


def test_a_changed_lock_installs_again(
    tmp_path: Path, commands: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(tmp_path / "v", "local", recreate_for=None)
    monkeypatch.setattr(environment, "REQUIREMENTS", tmp_path)
    for level in LEVELS:
        (tmp_path / f"{level}.txt").write_text("other==1\n")
    prepare(tmp_path / "v", "local", recreate_for=None)
    assert commands[2:] == [["-m", "pip"]]


@pytest.mark.parametrize(("made_by", "wanted"), [("3.10.4", None), ("3.12.0", HERE)])
def test_an_environment_of_another_python_is_made_again(
    tmp_path: Path, commands: list[list[str]], made_by: str, wanted: str | None
) -> None:
    prepare(tmp_path / "v", "local", recreate_for=None)
    (tmp_path / "v" / "pyvenv.cfg").write_text(f"version = {made_by}\n")
    prepare(tmp_path / "v", "local", recreate_for=wanted)
    assert commands[2:] == [["-m", "venv"], ["-m", "pip"]]


def test_a_half_made_environment_is_made_again(tmp_path: Path, commands: list[list[str]]) -> None:
    (tmp_path / "v" / "bin").mkdir(parents=True)
    (tmp_path / "v" / "pyvenv.cfg").write_text(f"version = {HERE}\n")
    (tmp_path / "v" / "bin" / "python").symlink_to("/nowhere/python")
    prepare(tmp_path / "v", "base", recreate_for=None)
    assert commands == [["-m", "venv"], ["-m", "pip"]]


def test_a_failed_install_is_not_taken_for_done(
    tmp_path: Path, commands: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(tmp_path / "v", "base", recreate_for=None)

    def fail(command: list[Any], **_: Any) -> None:
        raise subprocess.CalledProcessError(1, command)

    with monkeypatch.context() as broken:
        broken.setattr(environment, "version_of", lambda _: HERE)
        broken.setattr("subprocess.run", fail)
        with pytest.raises(subprocess.CalledProcessError):
            prepare(tmp_path / "v", "test", recreate_for=None)
    assert not any(is_current(tmp_path / "v", level) for level in LEVELS)


@pytest.mark.parametrize("level", LEVELS)
def test_the_locks_are_hashed_and_name_no_place(level: str) -> None:
    lock = (REQUIREMENTS / f"{level}.txt").read_text()
    assert "://" not in lock
    pinned = [line for line in lock.splitlines() if line and line[0] not in " #"]
    assert pinned
    assert all("==" in line and line.endswith("\\") for line in pinned)
    assert lock.count("--hash=sha256:") >= len(pinned)
    assert stamp_of(level, "3.11.0") != stamp_of(level, "3.12.0")


def test_the_levels_agree_on_every_version() -> None:
    def pins(level: str) -> set[str]:
        lock = (REQUIREMENTS / f"{level}.txt").read_text().splitlines()
        return {line.split(" ")[0] for line in lock if line and line[0] not in " #"}

    assert pins("base") <= pins("local") <= pins("test")
