"""Cursor pages: each stable task exactly once, for every sort and page size."""

import asyncio
import random
from itertools import product
from typing import Any

import pytest

from services.tasks.domain import SORTABLE
from tests.service.tasks.client import Client

SORTS = [f"{sign}{name}" for sign, name in product(("", "-"), SORTABLE)]
SORTS += ["-priority,due_date", "due_date,-title", "-due_date,priority", "completed,-due_date"]
DAYS = [None, "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "2026-01-02T00:00:00.000001Z"]


async def walked(client: Client, query: str, between: Any = None) -> list[dict[str, Any]]:
    """All results of a walk."""
    found: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        answer = await client.get(f"/v2/tasks?{query}&cursor={cursor}")
        assert answer.status == 200, answer.body
        assert set(answer.data) == {"next_cursor", "results"}
        found += answer.data["results"]
        cursor = answer.data["next_cursor"]
        if between is not None:
            await between()
    return found


async def fill(client: Client, count: int, **fields: Any) -> list[str]:
    made = random.Random(count)
    tasks = [
        {
            "title": f"t{made.randrange(4)}",
            "priority": made.randrange(1, 4),
            "due_date": made.choice(DAYS),
            "completed": made.random() < 0.5,
            **fields,
        }
        for _ in range(count)
    ]
    return [(await client.created(**task))["id"] for task in tasks]


async def test_cursor_of_another_list_is_refused(ann: Client, bob: Client) -> None:
    for client in (ann, bob):
        await fill(client, 3)
    first = await ann.get("/v2/tasks?page_size=1&cursor=&sort=title")
    cursor = first.data["next_cursor"]
    assert (await ann.get(f"/v2/tasks?page_size=2&cursor={cursor}&sort=title")).status == 200
    turned = ("A" if cursor[5] != "A" else "B").join((cursor[:5], cursor[6:]))
    for client, query in (
        (bob, f"sort=title&cursor={cursor}"),
        (ann, f"cursor={cursor}"),
        (ann, f"sort=-title&cursor={cursor}"),
        (ann, f"sort=title&completed=true&cursor={cursor}"),
        (ann, f"sort=title&cursor={turned}"),
        (ann, "sort=title&cursor=QUFBQQ"),
        (ann, "sort=title&cursor=A"),
        (ann, f"sort=title&page=1&cursor={cursor}"),
    ):
        answer = await client.get(f"/v2/tasks?{query}")
        assert answer.status == 409, query
        assert set(answer.details) == {"cursor"}
    assert (await ann.get("/v2/tasks?cursor=%00")).status == 422
    assert (await ann.get("/v2/tasks?cursor=a%20b")).status == 422


@pytest.mark.parametrize("sort", SORTS)
async def test_walk_is_the_list_for_every_page_size(ann: Client, sort: str) -> None:
    await fill(ann, 7)
    whole = (await ann.get(f"/v2/tasks?page_size=100&sort={sort}")).data["results"]
    assert len(whole) == 7
    for size in range(1, 9):
        assert await walked(ann, f"sort={sort}&page_size={size}") == whole
        pages = [
            (await ann.get(f"/v2/tasks?sort={sort}&page_size={size}&page={page}")).data["results"]
            for page in range(1, 7 // size + 2)
        ]
        assert [task for page in pages for task in page] == whole


async def test_walk_of_a_filtered_list(ann: Client) -> None:
    await fill(ann, 30)
    whole = (await ann.get("/v2/tasks?page_size=100&completed=true&sort=-due_date")).data
    found = await walked(ann, "completed=true&sort=-due_date&page_size=2")
    assert found == whole["results"]
    assert len(found) == whole["count"] > 2


@pytest.mark.parametrize("sort", SORTS)
async def test_stable_tasks_come_exactly_once_while_others_come_and_go(
    ann: Client, sort: str
) -> None:
    stable = await fill(ann, 8)
    passing = await fill(ann, 8, labels=["passing"])
    chance = random.Random(sort)

    async def disturb() -> None:
        if len(passing) < 2:
            # Enough: a walk that looks for the newest would never end.
            return
        gone = passing.pop(chance.randrange(len(passing)))
        changed = chance.choice(passing)
        fields = {"priority": chance.randrange(1, 6), "due_date": chance.choice(DAYS)}
        answers = await asyncio.gather(
            ann.call("DELETE", f"/v2/tasks/{gone}"),
            ann.call("PATCH", f"/v2/tasks/{changed}", fields),
            fill(ann, 1, labels=["passing"]),
        )
        assert [answer.status for answer in answers[:2]] == [204, 200]

    for size in (1, 4):
        found = [task["id"] for task in await walked(ann, f"sort={sort}&page_size={size}", disturb)]
        counted = [task_id for task_id in found if task_id in stable]
        assert sorted(counted) == sorted(stable)
