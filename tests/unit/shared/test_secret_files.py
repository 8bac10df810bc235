"""Secrets from files: what compose and Kubernetes mount."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from shared.settings import MOST_SECRET_BYTES, SettingsError, at_least, load, one_of, setting


@dataclass(frozen=True)
class Sample:
    url: str = setting("SAMPLE_URL", "Where it is.", secret=True)
    colour: str = setting(
        "SAMPLE_COLOUR", "Which.", secret=True, default="red", check=one_of("red", "blue")
    )
    number: int = setting("SAMPLE_NUMBER", "How many.", default=1, check=at_least(1))


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SAMPLE_URL", "SAMPLE_COLOUR", "SAMPLE_NUMBER"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(f"{name}_FILE", raising=False)


def problems_with(content: bytes, path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    path.write_bytes(content)
    monkeypatch.setenv("SAMPLE_URL_FILE", str(path))
    with pytest.raises(SettingsError) as raised:
        load(Sample)
    return str(raised.value)


@pytest.mark.parametrize("content", [b"", b"\n", b"x" * (MOST_SECRET_BYTES + 1)])
def test_empty_and_endless_files(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = problems_with(content, tmp_path / "url", monkeypatch)
    assert said == f"SAMPLE_URL_FILE: The file must hold 1 to {MOST_SECRET_BYTES} bytes."


def test_bytes_that_are_no_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = problems_with(b"\xff\xfe", tmp_path / "url", monkeypatch)
    assert said == "SAMPLE_URL_FILE: The file is not UTF-8."


def test_all_problems_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "colour").write_text("green\n")
    monkeypatch.setenv("SAMPLE_URL_FILE", str(tmp_path / "missing"))
    monkeypatch.setenv("SAMPLE_COLOUR_FILE", str(tmp_path / "colour"))
    monkeypatch.setenv("SAMPLE_NUMBER", "0")
    with pytest.raises(SettingsError) as raised:
        load(Sample)
    assert raised.value.problems == {
        "SAMPLE_URL_FILE": ["The file cannot be read: No such file or directory."],
        "SAMPLE_COLOUR_FILE": ["Must be one of: red, blue."],
        "SAMPLE_NUMBER": ["Must be at least 1."],
    }


def test_a_secret_has_one_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMPLE_URL", "postgresql://u:hidden@h/d")
    said = problems_with(b"postgresql://u:other@h/d", tmp_path / "url", monkeypatch)
    assert said == "SAMPLE_URL_FILE: Must not be set beside SAMPLE_URL."


def test_only_secrets_are_read_from_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMPLE_URL", "here")
    monkeypatch.setenv("SAMPLE_NUMBER_FILE", str(tmp_path / "number"))
    assert load(Sample) == Sample(url="here", colour="red", number=1)


def test_the_end_of_the_line_is_not_part_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "url").write_text("postgresql://u:two words@h/d\n")
    monkeypatch.setenv("SAMPLE_URL_FILE", str(tmp_path / "url"))
    assert load(Sample).url == "postgresql://u:two words@h/d"
