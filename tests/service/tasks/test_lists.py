"""Lists of version 2: pages, filters, sorts, search."""

from itertools import pairwise, product
from typing import Any
from urllib.parse import quote

import pytest

from services.tasks.domain import SORTABLE
from tests.service.tasks.client import Client

TASKS: list[dict[str, Any]] = [
    {"title": "alpha", "priority": 5, "due_date": "2026-03-01T00:00:00Z", "labels": ["x", "y"]},
    {"title": "Beta", "priority": 1, "completed": True, "labels": ["x"]},
    {"title": "gamma", "priority": 3, "due_date": "2026-01-01T00:00:00Z"},
    {"title": "Épée", "priority": 3, "description": "Fix `cmd/sync.go`: retry v1.2 <b>twice</b>"},
    {"title": "delta", "priority": 3, "due_date": "2026-02-01T00:00:00Z", "completed": True},
    {"title": "beta", "priority": 1, "description": "the daemon_debouncer of alpha.example.org"},
]


@pytest.fixture
async def filled(ann: Client, bob: Client) -> Client:
    for task in TASKS:
        await ann.created(**task)
        await bob.created(**task)
    return ann


async def titles(client: Client, query: str) -> list[str]:
    answer = await client.get(f"/v2/tasks?{query}")
    assert answer.status == 200, answer.body
    assert answer.data["count"] == len(answer.data["results"])
    return [task["title"] for task in answer.data["results"]]


FILTERED: dict[str, set[str]] = {
    "": {"alpha", "Beta", "gamma", "Épée", "delta", "beta"},
    "completed=true": {"Beta", "delta"},
    "completed=false&priority=3": {"gamma", "Épée"},
    "min_priority=3": {"alpha", "gamma", "Épée", "delta"},
    "max_priority=1": {"Beta", "beta"},
    "min_priority=2&max_priority=4": {"gamma", "Épée", "delta"},
    "min_priority=4&max_priority=2": set(),
    "due_before=2026-02-01T00:00:00Z": {"gamma"},
    "due_after=2026-02-01T00:00:00Z": {"alpha"},
    "due_after=2026-01-31T23:30:00-01:00": {"alpha"},
    "created_after=2000-01-01T00:00:00Z&label=x": {"alpha", "Beta"},
    "created_after=9999-01-01T00:00:00Z": set(),
    "updated_after=9999-01-01T00:00:00Z": set(),
    "label=y": {"alpha"},
    "label=X": set(),
    "q=alpha": {"alpha", "beta"},
    "q=ALPHA": {"alpha", "beta"},
    "q=sync.go": {"Épée"},
    "q=cmd": {"Épée"},
    "q=twice": {"Épée"},
    "q=debouncer": {"beta"},
    "q=daemon_debouncer": {"beta"},
    "q=gamma%20or%20delta": {"gamma", "delta"},
    "q=%22retry%20v1.2%22": {"Épée"},
    "q=%22v1.2%20retry%22": set(),
    "q=alpha%20-daemon": {"alpha"},
    "q=alpha&priority=5": {"alpha"},
    "q=nowhere": set(),
    f"q={quote('Épée')}": {"Épée"},
}
SORTED = {
    "title": ["Beta", "alpha", "beta", "delta", "gamma", "Épée"],
    "-title": ["Épée", "gamma", "delta", "beta", "alpha", "Beta"],
    "due_date": ["gamma", "delta", "alpha", "Beta", "Épée", "beta"],
    "-due_date": ["alpha", "delta", "gamma", "beta", "Épée", "Beta"],
    "-priority,due_date": ["alpha", "gamma", "delta", "Épée", "Beta", "beta"],
    "completed,created_at": ["alpha", "gamma", "Épée", "beta", "Beta", "delta"],
    "-updated_at": ["beta", "delta", "Épée", "gamma", "Beta", "alpha"],
    "priority,-priority": ["beta", "Beta", "delta", "Épée", "gamma", "alpha"],
}
ODD_WORDS = ["'", '"', "&|!():*", "\\", "a & & b", "<->", "-", "or", "%", "((((", "a:*b", "☃", " "]


async def test_filters(filled: Client) -> None:
    found = {query: set(await titles(filled, query)) for query in FILTERED}
    assert found == FILTERED


async def test_no_search_text_is_an_error(filled: Client) -> None:
    for text in ODD_WORDS:
        assert (await filled.get(f"/v2/tasks?q={quote(text, safe='')}")).status == 200, text


async def test_sorts(filled: Client) -> None:
    found = {sort: await titles(filled, f"sort={sort}") for sort in SORTED}
    assert found == SORTED


async def test_a_walk_over_pages_meets_every_task_once(filled: Client) -> None:
    sorts = [*SORTABLE, *(f"-{field}" for field in SORTABLE)]
    for sort, size in product(sorts, (1, 2, 4, 100)):
        await walk(filled, f"/v2/tasks?page_size={size}&sort={sort}", size)


async def walk(client: Client, path: str, size: int) -> None:
    """Follows `next` to the end and compares with the way back over `previous`."""
    seen: list[str] = []
    pages: list[str] = []
    url: str | None = f"/api{path}"
    while url is not None:
        pages.append(url.removeprefix("/api"))
        page = (await client.get(pages[-1])).data
        assert page["count"] == len(TASKS)
        assert len(page["results"]) <= size
        seen += [task["id"] for task in page["results"]]
        url = page["next"]
    assert len(seen) == len(set(seen)) == len(TASKS)
    for there, back in pairwise(reversed(pages)):
        previous = (await client.get(there)).data["previous"].removeprefix("/api")
        assert (await client.get(previous)).data == (await client.get(back)).data


async def test_links_keep_the_filters(filled: Client) -> None:
    query = "q=alpha%20or%20%C3%89p%C3%A9e&sort=-priority,due_date&page_size=1"
    page = (await filled.get(f"/v2/tasks?{query}&page=2")).data
    assert page["next"].startswith("/api/v2/tasks?")
    first = (await filled.get(page["previous"].removeprefix("/api"))).data
    last = (await filled.get(page["next"].removeprefix("/api"))).data
    found = [p["results"][0]["title"] for p in (first, page, last)]
    assert found == ["alpha", "Épée", "beta"]
    assert (first["previous"], last["next"]) == (None, None)


async def test_the_best_match_comes_first_unless_a_sort_is_asked_for(ann: Client) -> None:
    for title, description in (
        ("kiwi and kiwi", None),
        ("in passing", "one kiwi " + "and much else " * 20),
        ("in passing, too", "one kiwi"),
        ("kiwi", None),
        ("nothing", None),
    ):
        await ann.created(title=title, description=description)
    best = ["kiwi and kiwi", "kiwi", "in passing, too", "in passing"]
    assert await titles(ann, "q=kiwi") == best
    assert await titles(ann, "q=kiwi&sort=-created_at") == [
        *reversed(best[1:2]),
        *best[2:],
        best[0],
    ]
    walked: list[str] = []
    cursor: str | None = ""
    for _ in best:
        part = (await ann.get(f"/v2/tasks?q=kiwi&page_size=1&cursor={cursor}")).data
        walked += [task["title"] for task in part["results"]]
        cursor = part["next_cursor"]
    assert (walked, cursor) == (best, None)


async def test_a_page_beyond_the_end_is_empty_and_leads_back(filled: Client) -> None:
    page = (await filled.get("/v2/tasks?page=10000000&page_size=100")).data
    assert (page["count"], page["next"], page["results"]) == (len(TASKS), None, [])
    back = (await filled.get(page["previous"].removeprefix("/api"))).data
    assert len(back["results"]) == len(TASKS)
    nothing = (await filled.get("/v2/tasks?label=none&page=5")).data
    assert (nothing["count"], nothing["next"]) == (0, None)


async def test_children_of_a_task(filled: Client) -> None:
    parent = await filled.created(title="parent")
    await filled.created(title="child", parent_id=parent["id"])
    assert await titles(filled, f"parent_id={parent['id']}") == ["child"]
    assert await titles(filled, f"parent_id={filled.user_id}") == []


async def test_items_are_the_tasks_themselves(filled: Client) -> None:
    for task in (await filled.get("/v2/tasks")).data["results"]:
        shown = await filled.get(f"/v2/tasks/{task['id']}")
        assert shown.data == task
        assert shown.headers["ETag"] == task["etag"]


async def test_counts_follow_every_write(ann: Client, bob: Client) -> None:
    async def counted() -> list[int]:
        queries = ("", "completed=true", "completed=false", "priority=2", "label=x", "q=a")
        return [(await ann.get(f"/v2/tasks?{query}")).data["count"] for query in queries]

    assert await counted() == [0, 0, 0, 0, 0, 0]
    task = await ann.created(title="a", priority=2, labels=["x"])
    await bob.created(title="a", priority=2, labels=["x"])
    assert await counted() == await counted() == [1, 0, 1, 1, 1, 1]
    path = f"/v2/tasks/{task['id']}"
    await ann.call("PATCH", path, {"completed": True, "priority": 3})
    assert await counted() == [1, 1, 0, 0, 1, 1]
    await ann.call("DELETE", path)
    assert await counted() == [0, 0, 0, 0, 0, 0]
    await ann.call("POST", f"{path}/restore")
    assert await counted() == [1, 1, 0, 0, 1, 1]
