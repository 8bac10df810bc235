"""Folders for data and sockets."""

import os
import stat
from pathlib import Path

import pytest

from deploy.local.errors import CannotRun
from deploy.local.folders import (
    hand_over,
    hold_alone,
    own_secrets,
    private_folder,
    socket_folder,
)
from shared.sealing import check_sealing_keys


def test_a_short_path_keeps_its_sockets_inside(tmp_path: Path) -> None:
    assert socket_folder(Path("/d")) == Path("/d/run")


def test_a_long_path_gets_one_short_folder_of_its_own(tmp_path: Path) -> None:
    first, second = (tmp_path / (letter * 120) for letter in "ab")
    assert socket_folder(first) == socket_folder(first)
    assert socket_folder(first) != socket_folder(second)
    assert len(os.fsencode(socket_folder(first) / ".s.PGSQL.5432")) <= 103


def test_a_long_folder_for_temporary_files_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / ("t" * 120)))
    assert len(os.fsencode(socket_folder(tmp_path / ("a" * 120)) / ".s.PGSQL.5432")) <= 103


def test_private_folders_are_closed(tmp_path: Path) -> None:
    private_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700


def test_a_link_in_the_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir(mode=0o755)
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(CannotRun, match="belongs to somebody else"):
        hand_over(tmp_path / "link", os.geteuid())
    assert (tmp_path / "target").stat().st_mode & 0o777 == 0o755


def test_an_open_folder_is_closed_when_it_is_taken(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir(mode=0o755)
    hand_over(tmp_path / "open", os.geteuid())
    assert (tmp_path / "open").stat().st_mode & 0o777 == 0o700


def test_a_lock_is_held_by_one_and_free_after_him(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with hold_alone(lock, "a run"):
        with pytest.raises(CannotRun, match=f"process {os.getpid()}"), hold_alone(lock, "a run"):
            pass
    with hold_alone(lock, "a run"):
        assert lock.read_text() == f"{os.getpid()}\n"


def test_secrets_of_its_own_are_made_once_and_closed_to_others(tmp_path: Path) -> None:
    made = own_secrets(tmp_path)
    assert len(made["SERVICE_CREDENTIAL"]) >= 32
    check_sealing_keys(made["ENCRYPTION_KEYS"])
    assert own_secrets(tmp_path) == made
    for name in made:
        assert stat.S_IMODE((tmp_path / name.lower()).stat().st_mode) == 0o600
