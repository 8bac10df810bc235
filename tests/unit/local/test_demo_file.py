"""The demo's own arithmetic: which lines count, what equal means, what to search for."""

from pathlib import Path
from typing import Any

import pytest

from deploy.local.demo_client import DemoFailed
from deploy.local.demo_file import (
    TaskFile,
    common_label,
    differences,
    read_export,
    telling_word,
)

GIVEN: dict[str, Any] = {
    "external_id": "a",
    "title": "Write it down",
    "created_at": "2025-11-01T11:41:14.874539-07:00",
}
EXPORTED: dict[str, Any] = {
    "id": "0199a6f0-c0de-7000-8000-000000000001",
    "external_id": "a",
    "title": "Write it down",
    "description": None,
    "priority": 1,
    "completed": False,
    "completed_at": None,
    "created_at": "2025-11-01T18:41:14.874539Z",
    "due_date": None,
    "labels": [],
    "parent_external_id": None,
}


def file_of(folder: Path, content: bytes) -> TaskFile:
    path = folder / "tasks.jsonl"
    path.write_bytes(content)
    return TaskFile(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DemoFailed, match=r"missing\.jsonl: No such file"):
        TaskFile(tmp_path / "missing.jsonl")


def test_blank_lines_count_as_numbers_and_not_as_lines(tmp_path: Path) -> None:
    file = file_of(tmp_path, b'{"external_id":"a"}\r\n\n  \n{"external_id":"b"}')
    assert sorted(file.lines) == [1, 4]
    assert list(file.tasks([4])) == ["a"]


def test_a_broken_line_that_was_taken_is_a_failure(tmp_path: Path) -> None:
    file = file_of(tmp_path, b'{"external_id":"a"}\n{"external_id":\n[]\n')
    with pytest.raises(DemoFailed, match="line 2"):
        file.tasks([3])
    with pytest.raises(DemoFailed, match="line 3"):
        file.tasks([2])


def test_two_lines_with_one_name_are_not_both_taken(tmp_path: Path) -> None:
    file = file_of(tmp_path, b'{"external_id":"a"}\n{"external_id":"a"}\n')
    assert list(file.tasks([2])) == ["a"]
    with pytest.raises(DemoFailed, match="line 2"):
        file.tasks([])


def test_a_task_without_a_name_is_found_by_what_it_says(tmp_path: Path) -> None:
    given = file_of(tmp_path, b'{"title":"x"}\n{"title":"x"}\n').tasks([])
    one = EXPORTED | {"title": "x"}
    assert differences(given, {"made-1": one, "made-2": one}) == []
    assert len(differences(given, {"made-1": one})) == 1
    other = differences(given, {"made-1": one, "made-2": EXPORTED})
    assert len(other) == 2
    assert other[1] == "made-2 was not in the file"


def test_the_pieces_are_the_file(tmp_path: Path) -> None:
    content = b"x" * 100_000
    file = file_of(tmp_path, content)
    assert b"".join(file.pieces()) == content
    assert file.size == len(content)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"title": "Write it up"}, "a: title is 'Write it up', not 'Write it down'"),
        ({"priority": 2}, "a: priority is 2, not 1"),
        ({"completed": True}, "a: completed is True, not False"),
        ({"labels": ["x"]}, "a: labels is ['x'], not []"),
        ({"parent_external_id": "b"}, "a: parent_external_id is 'b', not None"),
        (
            {"due_date": "2030-01-01T00:00:00Z"},
            "a: due_date is 2030-01-01T00:00:00+00:00, not None",
        ),
    ],
)
def test_every_field_is_compared(change: dict[str, Any], told: str) -> None:
    assert differences({"a": GIVEN}, {"a": EXPORTED | change}) == [told]


def test_the_same_instant_in_another_zone_is_equal_and_another_instant_is_not() -> None:
    assert differences({"a": GIVEN}, {"a": EXPORTED}) == []
    later = EXPORTED | {"created_at": "2025-11-01T18:41:14.874540Z"}
    assert len(differences({"a": GIVEN}, {"a": later})) == 1


def test_a_time_that_the_service_chose_is_not_compared() -> None:
    given = {name: value for name, value in GIVEN.items() if name != "created_at"}
    assert differences({"a": given}, {"a": EXPORTED}) == []


def test_missing_and_unknown_tasks_are_told() -> None:
    assert differences({"a": GIVEN}, {"b": EXPORTED}) == ["a is missing", "b was not in the file"]


def test_an_export_is_read_by_external_id() -> None:
    assert read_export(b'{"external_id":"a"}\n\n') == {"a": {"external_id": "a"}}
    with pytest.raises(KeyError):
        read_export(b"{}\n")


def test_the_most_common_label() -> None:
    tasks: list[dict[str, Any]] = [
        {"labels": ["b", "b", "a"]},
        {"labels": ["a"]},
        {"labels": None},
        {},
    ]
    assert common_label(tasks) == ("a", 2)
    assert common_label([{}]) is None


def test_the_word_to_search_for_stands_alone_in_a_title() -> None:
    tasks: dict[str, dict[str, Any]] = {
        "a": {"title": "Split cmd/sync.go, debouncer", "description": "a debouncer here"},
        "b": {"title": "The debouncer", "description": None},
    }
    assert telling_word(tasks) == ("debouncer", "a")
    assert telling_word({"c": {"title": "設計 を 見直す"}}) == ("見直す", "c")
