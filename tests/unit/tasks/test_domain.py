"""What a change does to a task."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from services.tasks.domain import Task, new_task

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)


def a_task(**fields: object) -> Task:
    return new_task(uuid4(), {"title": "Title", **fields}, NOW)


def test_what_is_left_out_has_its_default() -> None:
    task = a_task()
    assert (task.description, task.priority, task.labels, task.version) == (None, 1, [], 1)
    assert (task.completed, task.completed_at) == (False, None)
    assert task.created_at == task.updated_at == NOW


def test_the_same_values_change_nothing() -> None:
    task = a_task(labels=["a"])
    assert task.changed({}, LATER) is task
    assert task.changed({"title": "Title", "labels": ["a"], "completed": False}, LATER) is task


def test_a_change_moves_version_time_and_etag() -> None:
    task = a_task()
    after = task.changed({"title": "Other"}, LATER)
    assert (after.title, after.version, after.updated_at) == ("Other", 2, LATER)
    assert after.created_at == NOW
    assert after.etag != task.etag


def test_completion_leaves_its_time_and_takes_it_back() -> None:
    done = a_task().changed({"completed": True}, LATER)
    assert done.completed_at == LATER
    assert done.changed({"title": "Other"}, LATER + timedelta(1)).completed_at == LATER
    assert done.changed({"completed": False}, LATER).completed_at is None
    assert a_task(completed=True).completed_at == NOW


def test_a_slow_clock_does_not_turn_time_back() -> None:
    task = a_task().changed({"title": "Other"}, LATER)
    assert task.changed({"title": "Third"}, NOW).updated_at == LATER


def test_etag_is_strong_and_a_function_of_id_and_version() -> None:
    task = a_task()
    assert task.etag == task._replace(title="Elsewhere").etag
    assert task.etag.startswith('"')
    assert task.etag.endswith('"')
    assert a_task().etag != task.etag
