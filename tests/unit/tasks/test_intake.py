"""Lines of a file as JSON Lines, read into an intake."""

import json
import tempfile
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from services.tasks.domain import ExportedTask, ImportedTask, TooManyLines
from services.tasks.transfer import intake as intake_module
from services.tasks.transfer import jsonl
from services.tasks.transfer.intake import MAX_ERRORS_PER_LINE, Intake
from services.tasks.transfer.lines import MAX_LINE_BYTES
from shared.errors import ServiceUnavailable


@pytest.fixture
def intake() -> Iterator[Intake]:
    with Intake() as opened:
        yield opened


async def chunks(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def read(intake: Intake, *lines: Any) -> None:
    texts = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    await jsonl.read(chunks(b"\n".join(texts)), intake)


REFUSED: list[tuple[bytes | dict[str, Any], str]] = [
    (b"{not json", "line"),
    (b'"a string"', "line"),
    (b"[]", "line"),
    (b"null", "line"),
    (b"\xff\xfe", "line"),
    (b"[" * 100_000, "line"),
    (b'{"title": "a", "title": "b"}', "title"),
    (b'{"title": "\\ud800"}', "title"),
    (b'{"title": "a", "priority": 1e999}', "priority"),
    (b"x" * (MAX_LINE_BYTES + 1), "line"),
    ({}, "title"),
    ({"title": ""}, "title"),
    ({"title": "x" * 201}, "title"),
    ({"title": "nul \x00"}, "title"),
    ({"title": 5}, "title"),
    ({"title": "a", "description": "x" * 10_001}, "description"),
    ({"title": "a", "priority": 9}, "priority"),
    ({"title": "a", "priority": "high"}, "priority"),
    ({"title": "a", "colour": "red"}, "colour"),
    ({"title": "a", "created_at": "2026-01-01T00:00:00"}, "created_at"),
    ({"title": "a", "created_at": "0001-01-01T00:00:00+14:00"}, "created_at"),
    ({"title": "a", "due_date": "tomorrow"}, "due_date"),
    ({"title": "a", "completed": 1}, "completed"),
    ({"title": "a", "completed_at": "2026-01-01T00:00:00Z"}, "completed_at"),
    ({"title": "a", "labels": ["x", "x"]}, "labels"),
    ({"title": "a", "labels": [f"{n}" for n in range(21)]}, "labels"),
    ({"title": "a", "labels": ["x" * 51]}, "labels.0"),
    ({"title": "a", "external_id": ""}, "external_id"),
    ({"title": "a", "external_id": "x" * 201}, "external_id"),
]


@pytest.mark.parametrize(("line", "field"), REFUSED)
async def test_a_bad_line_is_named_with_its_field(
    intake: Intake, line: bytes | dict[str, Any], field: str
) -> None:
    await read(intake, {"title": "good"}, b"", line, {"title": "good too"})
    [refusal] = intake.refusals
    assert refusal.line == 3
    assert field in refusal.errors
    assert [candidate.line for candidate in intake.candidates] == [1, 4]


async def test_what_is_read_comes_back(intake: Intake) -> None:
    line = {
        "external_id": "1",
        "title": "naïve ☃",
        "completed": True,
        "completed_at": "2025-11-01T11:41:14.874539123-07:00",
        "created_at": "9999-12-31T23:59:59.999999Z",
        "due_date": "0001-01-01T00:00:00Z",
        "labels": ["b", "a"],
        "parent_external_id": "2",
    }
    await read(intake, line, {"title": "least"})
    first = intake.candidates[0]
    task, least = intake.task(0), intake.task(1)
    assert (first.external_id, first.parent_external_id) == ("1", "2")
    assert task == ImportedTask(
        external_id="1",
        title="naïve ☃",
        description=None,
        priority=1,
        completed=True,
        completed_at=datetime(2025, 11, 1, 18, 41, 14, 874539, UTC),
        created_at=datetime(9999, 12, 31, 23, 59, 59, 999999, UTC),
        due_date=datetime(1, 1, 1, tzinfo=UTC),
        labels=["b", "a"],
        parent_external_id="2",
    )
    assert (least.title, least.created_at, least.priority) == ("least", None, 1)


async def test_the_second_of_two_equal_names_is_refused(intake: Intake) -> None:
    await read(
        intake,
        {"external_id": "x"},
        {"external_id": "x", "title": "first good one"},
        {"external_id": "x", "title": "second"},
    )
    assert [refusal.line for refusal in intake.refusals] == [1, 3]
    assert intake.refusals[1].errors == {"external_id": ["Line 2 has the same one."]}


async def test_lines_without_a_name_get_the_same_one_again(intake: Intake) -> None:
    lines = [{"title": "milk"}, {"title": "milk"}, {"title": "bread"}]
    await read(intake, *lines)
    names = [candidate.external_id for candidate in intake.candidates]
    assert len(set(names)) == 3
    with Intake() as again:
        await read(again, *lines)
        assert [candidate.external_id for candidate in again.candidates] == names


async def test_errors_of_one_line_are_bounded(intake: Intake) -> None:
    await read(intake, {f"unknown {number}" * 20: 1 for number in range(500)})
    [refusal] = intake.refusals
    assert len(refusal.errors) == MAX_ERRORS_PER_LINE
    assert all(len(name) <= 100 for name in refusal.errors)


async def test_lines_are_bounded(intake: Intake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake_module, "MAX_LINES", 3)
    await read(intake, {"title": "1"}, b"bad", {"title": "2"})
    with pytest.raises(TooManyLines):
        intake.accept(4, ImportedTask(None, "3", None, 1, False, None, None, None, [], None))
    with pytest.raises(TooManyLines):
        intake.refuse(4, {})


class FullDisk(tempfile.SpooledTemporaryFile[bytes]):
    """A temporary file on a disk without room."""

    def write(self, data: Any) -> int:
        raise OSError(28, "No space left on device")


def test_a_full_disk_is_not_the_clients_fault(intake: Intake) -> None:
    intake._spool.close()
    intake._spool = FullDisk()
    with pytest.raises(ServiceUnavailable):
        intake.accept(1, ImportedTask("1", "a", None, 1, False, None, None, None, [], None))


async def test_an_export_line_is_an_import_line(intake: Intake) -> None:
    full = {
        "external_id": "1",
        "title": "T",
        "description": "D",
        "priority": 5,
        "completed": True,
        "created_at": "2026-01-01T00:00:00Z",
        "completed_at": "2026-01-02T00:00:00Z",
        "due_date": "2026-01-03T00:00:00Z",
        "labels": ["x"],
        "parent_external_id": "2",
    }
    await read(intake, full)
    task = intake.task(0)
    exported = ExportedTask(**task._asdict(), id=None)  # type: ignore[arg-type]
    assert json.loads(jsonl.write(exported)) == full
