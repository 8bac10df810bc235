"""What of a log reaches the terminal, and how long a log may grow."""

import json
from pathlib import Path

import pytest

from deploy.local import console
from deploy.local.console import LogFile, worth_showing


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("", None),
        (json.dumps({"level": "info", "event": "request"}), None),
        (json.dumps({"level": "debug", "event": "x"}), None),
        (json.dumps({"level": "error", "event": "lost", "n": 3}), "error: lost n=3"),
        (json.dumps({"level": "warning", "event": "w", "exception": "T"}), "warning: w\nT"),
        ("Traceback (most recent call last):", "Traceback (most recent call last):"),
        ('{"level": "info"', '{"level": "info"'),
        ("[1, 2]", "[1, 2]"),
        ("7", "7"),
        ("[" * 3000, "[" * 2000),
    ],
)
def test_what_is_worth_showing(line: str, shown: str | None) -> None:
    assert worth_showing(line) == shown


def test_a_line_is_shown_once_and_only_when_it_is_whole(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "logs" / "a.log"
    log = LogFile("a", path)
    with path.open("ab", buffering=0) as writer:
        writer.write(b"hal")
        log.show_warnings()
        assert capfd.readouterr().err == ""
        writer.write(b"f \xff\nnext")
        log.show_warnings()
        log.show_warnings()
    assert capfd.readouterr().err == "a            half �\n"


def test_a_flood_is_counted_instead_of_shown(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    log = LogFile("a", tmp_path / "a.log")
    (tmp_path / "a.log").write_text("line\n" * 100)
    log.show_warnings()
    shown = capfd.readouterr().err.splitlines()
    assert len(shown) == 41
    assert "60 more in" in shown[-1]


def test_lines_of_an_earlier_run_are_neither_shown_nor_evidence(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.log").write_text("old\n")
    log = LogFile("a", tmp_path / "a.log")
    log.show_warnings()
    assert capfd.readouterr().err == ""
    assert log.tail() == ""


def test_a_log_that_grew_too_long_is_cut_and_writers_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "LARGEST_LOG", 1000)
    path = tmp_path / "a.log"
    log = LogFile("a", path)
    with path.open("ab", buffering=0) as writer:
        writer.write(b"x" * 2000 + b"\n")
        log.show_warnings()
        writer.write(b"after\n")
    assert path.read_bytes() == b"after\n"
    assert (tmp_path / "a.log.1").stat().st_size == 2001
