"""The verdict on a trial sees what a crash must not do: a checker that is blind proves nothing."""

from typing import Any

import pytest

from bench.crash.receiver import Receipt
from bench.crash.verdict import of_the_deliveries, of_the_feed, of_the_tasks
from bench.crash.writer import Known, Owner


def change(sequence: int, kind: str, task_id: str, title: str = "t") -> dict[str, Any]:
    task = {"id": task_id, "title": title, "completed": False}
    return {
        "id": f"e{sequence}",
        "sequence": sequence,
        "type": kind,
        "task_id": task_id,
        "task": task,
    }


FEED = [
    change(1, "task.created", "a"),
    change(2, "task.created", "b"),
    change(3, "task.updated", "a", "u"),
    change(4, "task.deleted", "b"),
]
TASKS = {"a": {"id": "a", "title": "u", "completed": False}}
RECEIPTS = [
    Receipt("e1", "a", 1, accepted=False),
    Receipt("e2", "b", 2, accepted=True),
    Receipt("e1", "a", 1, accepted=True),
    Receipt("e3", "a", 3, accepted=True),
    Receipt("e1", "a", 1, accepted=True),
    Receipt("e4", "b", 4, accepted=True),
]


def owner(**changes: Any) -> Owner:
    tasks = {"a": Known("u"), "b": Known("t", live=False)}
    return Owner("o", "", **{"tasks": tasks, "changes": 4, **changes})


def test_a_good_trial_has_no_problems() -> None:
    assert list(of_the_feed(owner(), FEED, TASKS)) == []
    assert list(of_the_tasks(owner(), TASKS)) == []
    assert list(of_the_deliveries(FEED, RECEIPTS)) == []


@pytest.mark.parametrize(
    ("feed", "acknowledged"),
    [
        ([*FEED[:2], FEED[3]], 3),
        (FEED, 5),
        ([*FEED, change(5, "task.created", "c")], 4),
        ([*FEED[:3], change(4, "task.updated", "a", "v")], 4),
    ],
    ids=["gap", "lost", "twice", "another-end"],
)
def test_feeds_that_are_wrong(feed: list[dict[str, Any]], acknowledged: int) -> None:
    assert list(of_the_feed(owner(changes=acknowledged), feed, TASKS))


@pytest.mark.parametrize(
    "tasks",
    [
        {},
        {**TASKS, "c": TASKS["a"]},
        {**TASKS, "b": TASKS["a"]},
        {"a": {**TASKS["a"], "title": "t"}},
    ],
    ids=["lost", "from-nowhere", "undeleted", "older"],
)
def test_tasks_that_are_wrong(tasks: dict[str, Any]) -> None:
    assert list(of_the_tasks(owner(), tasks))


@pytest.mark.parametrize(
    "receipts",
    [
        [RECEIPTS[0], RECEIPTS[1], RECEIPTS[3], RECEIPTS[5]],
        RECEIPTS[:5],
        [RECEIPTS[3], *RECEIPTS],
        [*RECEIPTS, Receipt("e9", "a", 9, accepted=True)],
    ],
    ids=["refused-and-forgotten", "never", "out-of-order", "of-nothing"],
)
def test_deliveries_that_are_wrong(receipts: list[Receipt]) -> None:
    assert list(of_the_deliveries(FEED, receipts))
