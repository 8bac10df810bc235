"""Files of other programs, imported and compared field by field."""

from pathlib import Path
from typing import Any

import pytest

from tests.service.tasks.client import Answer, Client

SAMPLES = Path(__file__).with_name("samples")
MEDIA = {".ics": "text/calendar", ".txt": "text/plain", ".csv": "text/csv"}

# What a task has that its file says nothing of; `external_id` and `created_at` are looked at apart.
PLAIN: dict[str, Any] = {"description": None, "priority": 1, "completed": False, "labels": []}
EXPECTED: dict[str, list[dict[str, Any]]] = {
    "todoman/buy-milk.ics": [
        {
            "title": "Buy milk",
            "external_id": "a868e36db6d74e8090ab89ebc793656b@laptop",
            "completed": True,
            "completed_at": "2026-11-21T13:49:17Z",
            "created_at": "2026-11-21T13:49:15Z",
        }
    ],
    "todoman/hedge.ics": [
        {
            "title": "Cut the hedge; loudly, please, and tell everybody in the street "
            "that it will be loud",
            "description": "first line\n\nsecond, ünïcode\n",
            "external_id": "a5f92e8415ef49f2868de210eedbc6ac@laptop",
            "priority": 4,
            "due_date": "2026-12-24T17:00:00Z",
            "created_at": "2026-11-21T13:50:40Z",
        }
    ],
    "todoman/low-one.ics": [
        {
            "title": "Low one",
            "external_id": "65f8065e88ed4728aa435f85d273c97e@laptop",
            "due_date": "2026-12-31T00:00:00Z",
            "created_at": "2026-11-21T13:49:16Z",
        }
    ],
    "todoman/cancelled.ics": [
        {
            "title": "Will be done",
            "external_id": "76fc48d5eea844979183d043d0218da9@laptop",
            "priority": 3,
            "completed": True,
            "created_at": "2026-11-21T13:49:16Z",
        }
    ],
    "topydo.todo.txt": [
        {
            "title": "Thank Mum for the meatballs",
            "external_id": "3",
            "priority": 5,
            "due_date": "2026-12-24T00:00:00Z",
            "labels": ["phone", "+family"],
        },
        {
            "title": "Paint the fence t:2026-11-25 rec:1w",
            "external_id": "1",
            "priority": 3,
            "due_date": "2026-12-01T00:00:00Z",
            "labels": ["+garden"],
        },
        {"title": "Buy brushes", "parent_external_id": "1"},
        # Only one task can be its parent; the other one stays to be read.
        {"title": "For both p:1", "parent_external_id": "3"},
    ],
    "topydo.done.txt": [
        {"title": title, "completed": True, "completed_at": "2026-11-21T00:00:00Z"}
        for title in ("Find the shop", "Plain one")
    ],
    "todotxt-cli.todo.txt": [
        {"title": "Write the report", "priority": 5, "labels": ["+work", "desk"]},
        {
            "title": "Call Dad http://example.org/x:y",
            "completed": True,
            "completed_at": "2026-11-21T00:00:00Z",
            "due_date": "2026-12-05T00:00:00Z",
        },
        {"title": "Ünïcöde ☃ task"},
        {"title": "second done"},
    ],
    "todotxt-cli.done.txt": [
        {
            "title": "to be done",
            "completed": True,
            "completed_at": "2026-11-21T00:00:00Z",
            "labels": ["+work"],
        }
    ],
    "nextcloud-tasks.ics": [
        {
            "title": "Plan the trip",
            "description": "- [ ] trains\n- [x] hotel, by the sea",
            "external_id": "2e6bf6f0-9b5d-4d4c-8d43-0f3d9a3a51c7",
            "priority": 5,
            "due_date": "2026-12-20T17:00:00Z",
            "labels": ["travel", "family"],
            "created_at": "2026-11-03T08:15:12Z",
        },
        {
            "title": "Book the trains",
            "external_id": "8a2b3b66-2f2e-4f2a-b1d2-74f1c1f0a3de",
            "completed": True,
            "completed_at": "2026-11-03T08:22:10Z",
            "due_date": "2026-11-10T00:00:00Z",
            "created_at": "2026-11-03T08:17:01Z",
            "parent_external_id": "2e6bf6f0-9b5d-4d4c-8d43-0f3d9a3a51c7",
        },
    ],
    "apple-reminders.ics": [
        {
            "title": "Candles 🕯️ for the night",
            "external_id": "4D0A1F0E-2C1B-4F9C-9B0B-6B1D8E1A7C55",
            "due_date": "2026-11-01T00:00:00Z",
            "created_at": "2026-10-18T14:30:00Z",
        },
        {
            "title": "Call the plumber",
            "external_id": "6E9B2C9A-0B7E-45A3-8A5E-6E3D2B1A9F00",
            "completed": True,
            "completed_at": "2026-10-20T19:00:00Z",
            "created_at": "2026-10-18T14:30:00Z",
        },
    ],
    "thunderbird.ics": [
        {
            "title": "Renew the passport; it expires",
            "description": "Form C1\nTwo photographs",
            "external_id": "5b0f3a52-7a3e-4d86-9b52-1f77c1f6b0a4",
            "priority": 3,
            "due_date": "2026-06-30T16:00:00Z",
            "labels": ["Errands", "Paper, work"],
            "created_at": "2026-06-01T07:00:00Z",
        },
        {
            "title": "Old plan",
            "external_id": "c1c9d1a0-0a40-4c35-8a6b-6a4a27a1a6a1",
            "completed": True,
            "created_at": "2026-06-01T07:10:00Z",
        },
    ],
    "excel-semicolons.csv": [
        {
            "title": "Angebot schreiben",
            "description": 'Zwei Zeilen,\nmit "Zitat"',
            "priority": 4,
            "due_date": "2026-12-24T00:00:00Z",
            "labels": ["Büro", "Kunde"],
        },
        {
            "title": "Rechnung; zweite Mahnung",
            "priority": 2,
            "completed": True,
            "due_date": "2026-12-01T08:30:00Z",
        },
    ],
    "todoist.csv": [
        {
            "title": "Plan the trip",
            "description": "Trains, hotel",
            "external_id": "todoist:9e5ab60d9388c23bfb074f651b87e355",
            "priority": 5,
            "due_date": "2026-12-24T17:00:00Z",
            "labels": ["travel"],
        },
        {
            "title": "Book the trains",
            "parent_external_id": "todoist:9e5ab60d9388c23bfb074f651b87e355",
            "priority": 4,
            "due_date": "2026-12-01T00:00:00Z",
            "labels": ["travel", "bahn"],
        },
        {
            "title": "Pack",
            "parent_external_id": "todoist:9e5ab60d9388c23bfb074f651b87e355",
        },
        {"title": "Pack", "priority": 3},
    ],
    "tabs.csv": [{"title": "Tabs from a clipboard", "priority": 3, "labels": ["home"]}],
}
# The line of each refused task, and the fields that are at fault.
REFUSED: dict[str, dict[int, set[str]]] = {
    "apple-reminders.ics": {51: {"rrule"}},
    "todoist.csv": {5: {"type"}, 8: {"type"}, 9: {"date"}},
    "excel-semicolons.csv": {6: {"completed", "priority", "due_date"}},
}


async def imported(client: Client, name: str) -> Answer:
    path = SAMPLES / name
    headers = {"Content-Type": MEDIA[path.suffix]}
    answer = await client.call("POST", "/v2/tasks/import", body=path.read_bytes(), headers=headers)
    assert answer.status == 200, answer.body
    return answer


@pytest.mark.parametrize("name", sorted(EXPECTED))
async def test_every_field_of_a_sample(ann: Client, name: str) -> None:
    report = (await imported(ann, name)).data
    refused = {one["line"]: set(one["errors"]) for one in report["refused"]}
    assert refused == REFUSED.get(name, {})
    assert report["imported"] == len(EXPECTED[name])
    tasks = {(task["title"], task["priority"]): task for task in await ann.exported()}
    for expected in EXPECTED[name]:
        task = tasks[expected["title"], expected.get("priority", 1)]
        wanted = {**PLAIN, **expected}
        for field in ("external_id", "created_at"):
            wanted.setdefault(field, task[field])
        assert task == wanted
    again = (await imported(ann, name)).data
    assert (again["imported"], again["unchanged"]) == (0, len(EXPECTED[name]))


def test_every_sample_is_looked_at() -> None:
    files = {str(path.relative_to(SAMPLES)) for path in SAMPLES.rglob("*.*")} - {"README.md"}
    assert files == set(EXPECTED)
